// Synchronous mini-batches on CPU threads.
#pragma once

#include "../core/job.h"
#include "kernel.h"

namespace cml {

// Train the samples [begin, end), which are whole batches. The result is the same for any number of
// threads. Stops after a batch with a value that is not finite; if that value is in a gradient, the
// batch changes nothing.
Counters cpu_train_minibatches(const Job& job, int64_t begin, int64_t end, int n_threads,
                               const CpuKernel& kernel);

}  // namespace cml
