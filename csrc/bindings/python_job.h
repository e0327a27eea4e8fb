// A training job as Python holds it: checked arguments, and the arrays they point into.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "../core/job.h"
#include "arrays.h"

namespace cml {

// Checks everything that a launch needs once, when the job is made. The caller promises that the
// contents of the CSR arrays are right (sorted distinct columns below the number of items, positive
// weights): checking them would read every pair.
class PythonJob {
 public:
    PythonJob(Device device, const py::dict& arguments);

    // The step size of AdaGrad may change between launches.
    float learning_rate() const { return job_.hyper.learning_rate; }
    void set_learning_rate(float rate);

    // Train the samples [begin, end), without the GIL; on CUDA on the current device, which must be
    // that of the arrays, in this stream (a cudaStream_t).
    Counters run(int64_t begin, int64_t end, uintptr_t stream) const;

    // Make one step of the given rows of "users" or "items", which are ascending, along these
    // gradients: an array with a row for each, as wide as the table. Likewise. Returns the
    // position of one that was refused because a value was not finite.
    std::optional<int64_t> step(const std::string& table, const py::object& rows,
                                const py::object& gradients, uintptr_t stream) const;

    // Train each of the users [begin, end) alone for so many epochs, with the items fixed; for the
    // CPU only. Without the GIL. Returns the first user for whom a value was not finite.
    std::optional<int64_t> fold_in(int64_t begin, int64_t end, int64_t n_epochs,
                                   float retention) const;

 private:
    // The parts of the constructor. Each checks some arguments and copies them to the job; they are
    // called in this order.
    void read_hyperparameters(const py::dict& arguments);
    void read_tables(const py::dict& arguments);
    void read_likes(const py::dict& arguments);
    void read_rank_weights(const py::dict& arguments);
    void read_cpu_arguments(const py::dict& arguments);
    void read_cuda_arguments(const py::dict& arguments);

    // View an array argument, and keep it alive as long as the job.
    ArrayView array(const py::dict& arguments, const char* name, const char* type, size_t n_dims,
                    bool writable);
    Table table(const py::dict& arguments, const char* values, const char* accumulators);
    void check_pointer(const void* p, const std::string& name) const;
    RowGradients row_gradients(const std::string& table, const py::object& rows,
                               const py::object& gradients) const;

    Device device_;
    Job job_;
    std::vector<py::object> kept_;  // owners of the memory that job_ points to
    int n_threads_ = 1;
    std::string instruction_set_;
    void* counters_ = nullptr;
    void* batch_ = nullptr;
};

}  // namespace cml
