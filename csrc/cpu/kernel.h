// One kernel for each instruction set, for rows of so many dimensions: kernel.cpp is compiled once
// per set.
#pragma once

#include "../core/job.h"

namespace cml {

// Working memory of a mini-batch. A slot is a row that a record touches: 3 i, 3 i + 1 and 3 i + 2
// are the user, the positive and the negative of record i.
struct BatchMemory {
    Record* records;
    uint8_t* first;           // whether a slot is the first that touches its row
    int32_t* earlier;         // of a slot, the one before it that touches the same row, or -1
    int32_t* last_user_slot;  // of each row of users, the last slot that touches it, or -1
    int32_t* last_item_slot;
    float* vectors;  // of a first slot, the row's new vector: `stride` floats
    int64_t stride;
};

// All work in the calling thread and add to the counters.
struct CpuKernel {
    // Train the visits [begin, end), each pair at once.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters);

    // The parts of a mini-batch, each over before the next one begins (see core/sync.h and
    // batch.h): the records of the visits [begin, end) of the batch that begins with `first`; then
    // for the rows that belong to this worker the steps that its n records ask for, and their
    // results put in place.
    void (*record)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end, Counters& counters);
    bool (*gather)(const Job& job, const BatchMemory& batch, int64_t n, int worker, int n_workers);
    void (*store)(const Job& job, const BatchMemory& batch, int64_t n, int worker, int n_workers);
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2(int n_dims);
CpuKernel kernel_x86_64_v3(int n_dims);
CpuKernel kernel_x86_64_v4(int n_dims);
#else
CpuKernel kernel_portable(int n_dims);
#endif

}  // namespace cml
