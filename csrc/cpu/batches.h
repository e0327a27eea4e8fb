// Synchronous mini-batches on CPU threads.
#pragma once

#include "../core/job.h"
#include "kernel.h"

namespace cml {

// Train the visits [begin, end), whole batches. The result is the same for any number of threads.
// Stops after a batch with a value that is not finite; if a gradient was, nothing of it is applied.
Counters cpu_train_batches(const Job& job, int64_t begin, int64_t end, int n_threads,
                           const CpuKernel& kernel);

}  // namespace cml
