// The training kernels for one instruction set. This file is compiled once for rows of any number
// of 32-element chunks (CML_CHUNKS=0), and once more for each number in CML_FIXED_CHUNKS: there the
// loops over chunks are unrolled, which is faster for short rows.
//
// Nothing here may come from the standard library: the linker keeps one copy of its inline
// functions for the whole module, possibly the one that was compiled for this instruction set.
#include "kernel.h"

#include "../core/async.h"
#include "../core/fold_in.h"
#include "lanes.h"
#include "memory.h"
#include "pair_minibatch.h"
#include "tile_minibatch.h"

#ifndef CML_CHUNKS
#define CML_CHUNKS 0
#endif
#ifndef CML_FIXED_CHUNKS
#define CML_FIXED_CHUNKS  // none
#endif

namespace cml {
inline namespace CML_TARGET {

// Steps along gradients that were computed elsewhere do not depend on the loss.
template <int kChunks>
static int64_t step(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end) {
    while (begin < end && step_row<Lanes, kChunks>(job.hyper, PlainMemory{}, gradients, begin)) {
        ++begin;
    }
    return begin;
}

// The kernel of a pairwise loss.
template <class Policy, int kChunks>
struct PairKernel {
    template <class Memory, class Updates>
    static void run(const Job& job, Updates updates, int64_t begin, int64_t end,
                    Counters& counters) {
        Pair block[kLanes];
        alignas(64) float distances[kMaxNegatives];
        alignas(64) int32_t negatives[2 * kMaxNegatives];
        for (int i = 0; i < kMaxNegatives; ++i) distances[i] = INFINITY;
        const Scratch scratch{block, distances, negatives, kMaxNegatives};
        PairStep<Lanes, Memory, Policy, kChunks, Updates>(job, {}, scratch, updates)
            .run(begin, end, counters);
    }

    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters, float*) {
        const AsyncUpdates<Lanes, SharedMemory, kChunks> updates(job, {});
        run<SharedMemory>(job, updates, begin, end, counters);
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float*) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const FoldInUpdates<Lanes, PlainMemory, kChunks> updates(alone, {});
        Counters counters;
        run<PlainMemory>(alone, updates, 0, n_epochs * alone.likes.n_pairs, counters);
        return counters.first_non_finite == INT64_MAX;
    }

    using Batch = PairMinibatch<PlainMemory, kChunks>;

    static void collect(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                        int64_t end, Counters& counters, float*) {
        const Batch batch(job, {}, memory);
        const TripletUpdates<PlainMemory, kChunks> updates(job, batch, first);
        run<PlainMemory>(job, updates, begin, end, counters);
    }

    static bool gather(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                       int64_t end) {
        return Batch(job, {}, memory).gather(begin - first, end - first);
    }

    static void store(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                      int64_t end) {
        Batch(job, {}, memory).store(begin - first, end - first);
    }
};

template <class Policy, int kChunks>
constexpr CpuKernel kPairKernel{
    PairKernel<Policy, kChunks>::train,   step<kChunks>,
    PairKernel<Policy, kChunks>::fold_in, PairKernel<Policy, kChunks>::collect,
    PairKernel<Policy, kChunks>::gather,  PairKernel<Policy, kChunks>::store};

// The `Team` of a single thread, see core/tile.h.
struct Alone {
    template <class F>
    CML_FN void each(int64_t n, F f) const {
        for (int64_t i = 0; i < n; ++i) f(i);
    }
    CML_FN void sync() const {}
    CML_FN bool all(bool x) const { return x; }
};

// The kernel of all losses with shared negatives.
template <int kChunks>
struct TileKernel {
    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters,
                      float* workspace) {
        Tile<Lanes, SharedMemory, Alone> tile(job, {}, {}, workspace);
        for (int64_t last; begin < end; begin = last) {
            last = batch_end(begin, end, job.hyper.tile_size, job.likes.n_pairs);
            train_tile<Lanes, kChunks>(job, SharedMemory{}, Alone{}, tile, begin, last, counters);
        }
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float* workspace) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const int64_t n_pairs = alone.likes.n_pairs, end = n_epochs * n_pairs;
        Tile<Lanes, PlainMemory, Alone> tile(alone, {}, {}, workspace);
        for (int64_t begin = 0, last; begin < end; begin = last) {
            last = batch_end(begin, end, alone.hyper.tile_size, n_pairs);
            if (!fold_in_tile<Lanes, kChunks>(alone, PlainMemory{}, tile, begin, last))
                return false;
        }
        return true;
    }

    using Batch = TileMinibatch<PlainMemory, Alone, kChunks>;

    static void collect(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                        int64_t end, Counters& counters, float* workspace) {
        Batch(job, {}, memory).collect(first, begin, end, counters, workspace);
    }

    static bool gather(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                       int64_t) {
        return Batch(job, {}, memory).gather(begin - first);
    }
};

template <int kChunks>
constexpr CpuKernel kTileKernel{TileKernel<kChunks>::train,   step<kChunks>,
                                TileKernel<kChunks>::fold_in, TileKernel<kChunks>::collect,
                                TileKernel<kChunks>::gather,  nullptr};

template <int kChunks, class... Policies>
static CpuKernel pair_kernel_of(LossList<Policies...>, Loss loss) {
    constexpr CpuKernel kernels[] = {kPairKernel<Policies, kChunks>...};
    return kernels[static_cast<int>(loss)];
}

template <int kChunks>
static CpuKernel kernel_of(Loss loss) {
    return shares_negatives(loss) ? kTileKernel<kChunks>
                                  : pair_kernel_of<kChunks>(PairwiseLosses{}, loss);
}

// The kernel for rows of exactly kChunks chunks. It is defined where CML_CHUNKS is that number.
template <int kChunks>
CpuKernel fixed_kernel(Loss loss);

#if CML_CHUNKS > 0

// Most of a tile's work does not depend on the number of chunks: it is compiled once.
extern template class Tile<Lanes, PlainMemory, Alone>;

template <int kChunks>
CpuKernel fixed_kernel(Loss loss) {
    return kernel_of<kChunks>(loss);
}
template CpuKernel fixed_kernel<CML_CHUNKS>(Loss loss);

}  // namespace CML_TARGET
}  // namespace cml

#else

template class Tile<Lanes, PlainMemory, Alone>;

template <int... kFixedChunks>
static CpuKernel kernel_for(Loss loss, int chunks) {
    CpuKernel kernel = kernel_of<0>(loss);
    ((chunks == kFixedChunks ? void(kernel = fixed_kernel<kFixedChunks>(loss)) : void()), ...);
    return kernel;
}

}  // namespace CML_TARGET

#define CML_JOIN(a, b) a##b
#define CML_KERNEL_OF(target) CML_JOIN(kernel_, target)
CpuKernel CML_KERNEL_OF(CML_TARGET)(Loss loss, int n_dims) {
    return kernel_for<CML_FIXED_CHUNKS>(loss, (n_dims + kLanes - 1) / kLanes);
}

}  // namespace cml

#endif
