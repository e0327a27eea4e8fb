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

// Throws std::invalid_argument unless p is memory of the current device.
void cuda_check_pointer(const void* p, const std::string& name);

// Bytes that cuda_train needs in device memory for its counters.
int64_t cuda_counter_bytes();

// Train the visits [begin, end) on the current device, in `stream` (a cudaStream_t), and wait.
// The pointers in `job` and `counters` are device memory.
Counters cuda_train(const Job& job, int64_t begin, int64_t end, void* counters, void* stream);

}  // namespace cml
