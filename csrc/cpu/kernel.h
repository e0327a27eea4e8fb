// One kernel for each instruction set, for a loss and rows of so many dimensions: kernel.cpp is
// compiled once per set.
#pragma once

#include "../core/job.h"

namespace cml {

// Working memory of a mini-batch; for its slots see core/tile_space.h.
struct BatchMemory {
    Record* records;          // of pairs with a negative each
    int32_t* rows;            // of slots of tiles
    int32_t* earlier;         // of a slot, the next in the list of its row, or -1
    int32_t* last_user_slot;  // of each row of users, where its list begins, or -1
    int32_t* last_item_slot;
    float* vectors;  // of a slot, the new vector of its row, or (tiles) a gradient: `stride` floats
    int64_t stride;
};

// All work in the calling thread; those that are given counters add to them. `space` is working
// memory of this thread where pairs share their negatives, see core/tile_space.h.
struct CpuKernel {
    // Train the visits [begin, end), each pair or tile at once.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters, float* space);

    // Make the steps that the gradients [begin, end) ask for. Returns the first that was refused,
    // or `end`; those after it are not looked at.
    int64_t (*step)(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end);

    // Train this user alone for so many epochs, with the items fixed (see fold_in.h). Returns
    // whether all was finite.
    bool (*fold_in)(const Job& job, int64_t user, int64_t n_epochs, float* space);

    // The parts of a mini-batch, for its visits [begin, end), at most visits_at_once(); each is
    // over for all visits before the next one begins (see batch.h, tile_batch.h).
    void (*record)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end, Counters& counters, float* space);
    bool (*gather)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end);
    void (*store)(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                  int64_t end);  // null: there is no such part
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2(Loss loss, int n_dims);
CpuKernel kernel_x86_64_v3(Loss loss, int n_dims);
CpuKernel kernel_x86_64_v4(Loss loss, int n_dims);
#else
CpuKernel kernel_portable(Loss loss, int n_dims);
#endif

}  // namespace cml
