// Working memory of launches, and launches of synchronous mini-batches.
#pragma once

#include "launch.cuh"

namespace cml {

// Bytes of the working memory, which is one piece, for at most so many blocks that take tiles.
int64_t memory_bytes(const Job& job, int64_t n_spaces);

// Let a launch use it: launch.batch, and behind that launch.spaces.
void use_memory(void* memory, CudaLaunch& launch);

// Launch all mini-batches of [launch.begin, launch.end), of which launch.counters->to_contribute
// is the first: as a single kernel, kernels.sync, where the device launches it cooperatively; else
// as two kernels each.
void launch_batches(CudaLaunch launch, const CudaKernels& kernels, bool cooperative,
                    const Grid& grid, cudaStream_t stream);

}  // namespace cml
