// Training on a CUDA device: the interface that the rest of the program sees, free of CUDA types.
#pragma once

#include <string>
#include <vector>

#include "../core/job.h"

namespace cml {

struct CudaDevice {
    std::string name;
    int major, minor;
    int64_t memory_bytes;
};

struct CudaStatus {
    std::vector<CudaDevice> devices;
    int driver_version;  // as CUDA counts: 13020 is 13.2; 0: no driver
    int runtime_version;
    std::string problem;  // why no device can be used; empty if one can
};

CudaStatus cuda_status();

// Why the kernels that this module has for the current device cannot compute with bfloat16; empty
// if they can.
std::string cuda_bfloat16_problem();

// Throws std::invalid_argument unless p is memory of the current device.
void cuda_check_pointer(const void* p, const std::string& name);

// Bytes that cuda_train needs in device memory for its counters.
int64_t cuda_counter_bytes();

// Bytes that cuda_train needs in the current device's memory for mini-batches and for tiles; the
// caller sets them to zero. They depend on these members of the job: loss, n_dims, n_negatives,
// tile_size, bfloat16, batch_size, likes.n_pairs, and the numbers of rows and strides of the
// tables.
int64_t cuda_batch_bytes(const Job& job);

// Train the samples [begin, end) on the current device, in `stream` (a cudaStream_t), and wait for
// the end. The pointers in `job`, `counters` and `batch` are device memory. `batch` can be used
// again afterwards, unless a value was not finite.
Counters cuda_train(const Job& job, int64_t begin, int64_t end, void* counters, void* batch,
                    void* stream);

// Make one step along each of these gradients, in the same way. Returns the position of the first
// that was refused because a value was not finite, or -1.
int64_t cuda_step(const Job& job, const RowGradients& gradients, void* counters, void* stream);

}  // namespace cml
