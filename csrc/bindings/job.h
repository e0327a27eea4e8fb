// A training job as Python holds it: checked arguments, and the arrays they point into.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "../core/job.h"
#include "arrays.h"

namespace cml {

// Everything that a launch needs is checked once, when the job is made. What the CSR arrays say
// (sorted distinct columns below the number of items, positive weights) is promised by the
// caller: checking it would read every pair.
class PythonJob {
 public:
    PythonJob(Device device, const py::dict& arguments);

    // Train the visits [begin, end), without the GIL.
    Counters run(int64_t begin, int64_t end) const;

    // Make one step of the given rows of "users" or "items", ascending, along these gradients: an
    // array with a row for each, as wide as the table. Without the GIL. Returns the position of one
    // that was refused because a value was not finite.
    std::optional<int64_t> step(const std::string& table, const py::object& rows,
                                const py::object& gradients) const;

    // Train each of the users [begin, end) alone for so many epochs, with the items fixed; for the
    // CPU only. Without the GIL. Returns the first user for whom a value was not finite.
    std::optional<int64_t> fold_in(int64_t begin, int64_t end, int64_t n_epochs) const;

 private:
    py::object keep(const py::dict& arguments, const char* name);
    Table table(const py::dict& arguments, const char* values, const char* accumulators);
    void check_pointer(const void* p, const std::string& name) const;

    Device device_;
    Job job_;
    std::vector<py::object> kept_;  // owners of the memory that job_ points to
    int n_threads_ = 1;
    std::string instruction_set_;
    void* counters_ = nullptr;
    void* batch_ = nullptr;
    void* stream_ = nullptr;
};

// The rounding for batches of this size and gradients of this norm, for which both powers of two
// are in the range of float: 2^-100 < largest_gradient < 2^100.
FixedPoint fixed_point(int64_t batch_size, float largest_gradient);

// A loss by its name.
Loss loss_named(const std::string& name);

// log(floor(J * M / U) + 1) for M = 0 ... U, float32: the rank weight of section 3.2.
std::vector<float> rank_weights(int64_t n_items, int64_t n_negatives);

}  // namespace cml
