// One kernel for each instruction set: kernel.cpp is compiled once per set.
#pragma once

#include "../core/job.h"

namespace cml {

struct CpuKernel {
    // Train the visits [begin, end) in the calling thread, adding to the counters.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters);
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2();
CpuKernel kernel_x86_64_v3();
CpuKernel kernel_x86_64_v4();
#else
CpuKernel kernel_portable();
#endif

}  // namespace cml
