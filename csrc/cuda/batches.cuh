// Launches of synchronous mini-batches.
#pragma once

#include "launch.cuh"

namespace cml {

// Working memory of mini-batches in one piece of cuda_batch_bytes() (see train.h).
CudaBatch batch_memory(const Job& job, void* memory);

// Launch all mini-batches of [launch.begin, launch.end), of which launch.counters->to_contribute
// is the first: as a single kernel, kernels.sync, where the device launches it cooperatively; else
// as two kernels each.
void launch_batches(CudaLaunch launch, const CudaKernels& kernels, bool cooperative,
                    const Grid& grid, cudaStream_t stream);

}  // namespace cml
