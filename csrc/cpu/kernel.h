// One kernel for each instruction set, for rows of so many dimensions: kernel.cpp is compiled once
// per set.
#pragma once

#include "../core/job.h"

namespace cml {

// Working memory of a mini-batch. A slot is a row that a record touches: 3 i, 3 i + 1 and 3 i + 2
// are the user, the positive and the negative of record i.
struct BatchMemory {
    Record* records;
    int32_t* earlier;         // of a slot, the next in the list of its row, or -1
    int32_t* last_user_slot;  // of each row of users, where its list begins, or -1
    int32_t* last_item_slot;
    float* vectors;  // of a slot, the new vector of its row: `stride` floats
    int64_t stride;
};

// All work in the calling thread; those that are given counters add to them.
struct CpuKernel {
    // Train the visits [begin, end), each pair at once.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters);

    // Make the steps that the gradients [begin, end) ask for. Returns the first that was refused,
    // or `end`; those after it are not looked at.
    int64_t (*step)(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end);

    // Train this user alone for so many epochs, with the items fixed (see fold_in.h). Returns
    // whether all was finite.
    bool (*fold_in)(const Job& job, int64_t user, int64_t n_epochs);

    // The parts of a mini-batch, for its visits [begin, end); each is over for all visits before
    // the next one begins (see batch.h).
    void (*record)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end, Counters& counters);
    bool (*gather)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end);
    void (*store)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                  int64_t end);
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2(int n_dims);
CpuKernel kernel_x86_64_v3(int n_dims);
CpuKernel kernel_x86_64_v4(int n_dims);
#else
CpuKernel kernel_portable(int n_dims);
#endif

}  // namespace cml
