// One kernel for each instruction set, for rows of so many dimensions: kernel.cpp is compiled once
// per set.
#pragma once

#include "../core/job.h"

namespace cml {

// All work in the calling thread and add to the counters.
struct CpuKernel {
    // Train the visits [begin, end), each pair at once.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters);

    // The three parts of a mini-batch (see core/sync.h): the records of the visits [begin, end) of
    // the batch that begins with `first`; the sums of those rows of its n records that belong to
    // this worker; and their updates.
    void (*record)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end, Counters& counters);
    void (*add)(const Job& job, const BatchMemory& batch, int64_t n, int worker, int n_workers);
    void (*apply)(const Job& job, const BatchMemory& batch, int64_t first, int64_t n, int worker,
                  int n_workers, Counters& counters);
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2(int n_dims);
CpuKernel kernel_x86_64_v3(int n_dims);
CpuKernel kernel_x86_64_v4(int n_dims);
#else
CpuKernel kernel_portable(int n_dims);
#endif

}  // namespace cml
