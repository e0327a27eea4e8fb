// The training kernels: kernel.cpp is compiled once for each instruction set, and has a kernel for
// each loss and number of dimensions.
#pragma once

#include "../core/job.h"

namespace cml {

// Memory of a mini-batch; core/workspace.h says what its slots are.
struct MinibatchMemory {
    Triplet* triplets;        // of each pair (pairwise losses)
    int32_t* rows;            // of each slot (shared negatives), see TileSlots
    int32_t* earlier;         // of each slot, the slot before it in the list of its row, or -1
    int32_t* last_user_slot;  // of each row of users, the last slot of its list, or -1
    int32_t* last_item_slot;  // of each row of items, likewise
    float* vectors;  // of each slot, `stride` floats: the new vector of its row (pairwise losses)
                     // or a gradient (shared negatives)
    int64_t stride;
    bool alone;  // whether there is a single worker
};

// All functions work in the calling thread; if they are given counters, they add to them.
// `workspace` is memory of this thread for losses with shared negatives, see core/workspace.h.
struct CpuKernel {
    // Train the samples [begin, end) asynchronously: each pair or tile updates its rows at once.
    void (*train)(const Job& job, int64_t begin, int64_t end, Counters& counters, float* workspace);

    // Make the steps of the gradients [begin, end). Returns the first that was refused, and leaves
    // those after it out, or `end`.
    int64_t (*step)(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end);

    // Train this user alone for so many epochs, with the items fixed (see core/fold_in.h). Returns
    // whether all values were finite.
    bool (*fold_in)(const Job& job, int64_t user, int64_t n_epochs, float retention,
                    float* workspace);

    // The phases of the mini-batch that begins with sample `first`, each for some of its samples,
    // at most samples_at_once(). A phase begins when the previous one is over for all samples. See
    // pair_minibatch.h and tile_minibatch.h.
    //   collect  compute and store the triplets or gradients of the samples. Then draw those that
    //            the worker will collect next, if there are any: their rows are prefetched
    //   gather   update the rows whose lists end in these samples; returns whether all were finite
    //   store    copy new rows to the tables; null: there is no such phase
    // Before collect(), draw() draws the samples, unless that was done in advance; null: there is
    // nothing to draw.
    void (*draw)(const Job& job, SampleRange samples, float* workspace);
    void (*collect)(const Job& job, const MinibatchMemory& batch, int64_t first,
                    SampleRange samples, SampleRange upcoming, Counters& counters,
                    float* workspace);
    bool (*gather)(const Job& job, const MinibatchMemory& batch, int64_t first, int64_t begin,
                   int64_t end);
    void (*store)(const Job& job, const MinibatchMemory& batch, int64_t first, int64_t begin,
                  int64_t end);
};

#if defined(__x86_64__)
CpuKernel kernel_x86_64_v2(Loss loss, int n_dims);
CpuKernel kernel_x86_64_v3(Loss loss, int n_dims);
CpuKernel kernel_x86_64_v4(Loss loss, int n_dims);
#else
CpuKernel kernel_portable(Loss loss, int n_dims);
#endif

}  // namespace cml
