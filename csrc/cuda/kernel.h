// One kernel for each number of 32-element chunks in a row: kernel.cu is compiled once for each.
#pragma once

#include "../core/job.h"

namespace cml {

constexpr int kWarpsPerBlock = 4;
constexpr int kTileWarps = 8;       // of a block that takes tiles
constexpr int kTileBlocks = 2;      // of them that a multiprocessor holds at once
constexpr int64_t kPairBytes = 32;  // sizeof(Pair), see core/draw.h

// Counters in device memory, as atomic operations want them.
struct DeviceCounters {
    unsigned long long pairs, active, impostors, skipped;
    double loss;
    unsigned long long first_non_finite;  // a visit, or the first one of a mini-batch
    unsigned long long refused_gradient;  // that of a mini-batch: likewise a visit
    // The mini-batch whose gradients come next, and the one that is applied next: its first visit.
    // Only where each half of a batch is a kernel of its own; it sets the one of the other half.
    int64_t to_contribute, to_apply;
};

// Working memory of mini-batches, see batch.cuh; all zero before the first one and after each. For
// its slots see core/tile_space.h.
struct CudaBatch {
    int32_t* user_slots;  // of each row of users, 1 + its slot
    int32_t* item_slots;
    int32_t* rows;  // of each slot, 1 + its row
    int64_t* sums;  // of each slot, the sum of its gradients: `stride` integers
    int64_t stride;
};

// Arguments of every kernel.
struct CudaLaunch {
    Job job;  // device pointers
    int64_t begin, end;
    bool shared;     // several warps are in flight
    int64_t stride;  // of a warp's Scratch, a multiple of 32
    DeviceCounters* counters;
    CudaBatch batch;
    float* spaces;  // for tiles: space_floats() for each block
};

// Arguments of the kernel `step`.
struct CudaStep {
    Hyperparameters hyper;
    RowGradients gradients;
    DeviceCounters* counters;  // first_non_finite: a position among the gradients
};

// Bytes of shared memory that a warp's Scratch takes.
constexpr int64_t scratch_bytes(int64_t stride) {
    return kLanes * kPairBytes + 3 * stride * 4;
}

// The kernels for a loss and rows of this many chunks (0: any number).
struct CudaKernels {
    const void* async;
    const void* censor;      // follows `async` where several warps were in flight
    const void* sync;        // all mini-batches of a launch; must be launched cooperatively
    const void* contribute;  // the two halves of a single mini-batch
    const void* apply;
    const void* step;  // takes a CudaStep
};
CudaKernels cuda_kernels_0(Loss loss);
CudaKernels cuda_kernels_1(Loss loss);
CudaKernels cuda_kernels_2(Loss loss);
CudaKernels cuda_kernels_3(Loss loss);
CudaKernels cuda_kernels_4(Loss loss);
CudaKernels cuda_kernels_5(Loss loss);
CudaKernels cuda_kernels_6(Loss loss);
CudaKernels cuda_kernels_7(Loss loss);
CudaKernels cuda_kernels_8(Loss loss);

}  // namespace cml
