// The memory of launches, and launches of synchronous mini-batches.
#pragma once

#include "launch.cuh"

namespace cml {

// Bytes of the memory, which is one piece, if at most so many teams work on tiles.
int64_t memory_bytes(const Job& job, int64_t n_workspaces);

// Let a launch use this memory: launch.batch comes first, then launch.workspaces.
void use_memory(void* memory, CudaLaunch& launch);

// Launch all mini-batches of [launch.begin, launch.end). The first one begins at
// launch.counters->to_accumulate. If the device has cooperative launches, they are a single kernel,
// kernels.sync; otherwise each of them is two kernels.
void launch_minibatches(CudaLaunch launch, const CudaKernels& kernels, bool cooperative,
                        const Grid& grid, cudaStream_t stream);

}  // namespace cml
