// One kernel for each number of 32-element chunks in a row: kernel.cu is compiled once for each.
#pragma once

#include "../core/job.h"

namespace cml {

constexpr int kWarpsPerBlock = 4;
constexpr int64_t kPairBytes = 32;  // sizeof(Pair), see core/draw.h

// Counters in device memory, as atomic operations want them.
struct DeviceCounters {
    unsigned long long pairs, active, impostors, skipped;
    double loss;
    unsigned long long first_non_finite;
};

// Arguments of every kernel.
struct CudaLaunch {
    Job job;  // device pointers
    int64_t begin, end;
    bool shared;     // several warps are in flight
    int64_t stride;  // of a warp's Scratch, a multiple of 32
    DeviceCounters* counters;
};

// Bytes of shared memory that a warp's Scratch takes.
constexpr int64_t scratch_bytes(int64_t stride) {
    return kLanes * kPairBytes + 3 * stride * 4;
}

// The address of the kernel for rows of this many chunks; 0: any number.
const void* cuda_kernel_0();
const void* cuda_kernel_1();
const void* cuda_kernel_2();
const void* cuda_kernel_3();
const void* cuda_kernel_4();
const void* cuda_kernel_5();
const void* cuda_kernel_6();
const void* cuda_kernel_7();
const void* cuda_kernel_8();

}  // namespace cml
