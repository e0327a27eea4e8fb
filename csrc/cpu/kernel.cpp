// The training kernel for one instruction set. It is compiled once for rows of any number of
// 32-element chunks (CML_CHUNKS=0), and once more for each number in CML_FIXED_CHUNKS
// (CML_CHUNKS=1, ...): there the loops over chunks are unrolled, which is faster for short rows.
//
// Nothing here may come from the standard library: its inline functions would be compiled for that
// set and could be linked into all of them.
#include "kernel.h"

#include "../core/async.h"
#include "../core/fold_in.h"
#include "batch.h"
#include "lanes.h"
#include "memory.h"
#include "tile_batch.h"

#ifndef CML_CHUNKS
#define CML_CHUNKS 0
#endif
#ifndef CML_FIXED_CHUNKS
#define CML_FIXED_CHUNKS  // none
#endif

namespace cml {
inline namespace CML_TARGET {

// Steps along given gradients have nothing to do with the loss.
template <int kChunks>
static int64_t step(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end) {
    while (begin < end && step_row<Lanes, kChunks>(job.hyper, PlainMemory{}, gradients, begin)) {
        ++begin;
    }
    return begin;
}

// Pairs with negatives of their own, one of which is kept.
template <int kChunks>
struct PairKernel {
    template <class Memory, class Updates>
    static void visit(const Job& job, Updates updates, int64_t begin, int64_t end,
                      Counters& counters) {
        Pair tile[kLanes];
        alignas(64) float distances[kMaxNegatives];
        alignas(64) int32_t negatives[2 * kMaxNegatives];
        for (int i = 0; i < kMaxNegatives; ++i) distances[i] = INFINITY;
        const Scratch scratch{tile, distances, negatives, kMaxNegatives};
        Walk<Lanes, Memory, WarpLoss, kChunks, Updates>(job, {}, scratch, updates)
            .visit(begin, end, counters);
    }

    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters, float*) {
        const AsyncUpdates<Lanes, SharedMemory, kChunks> updates(job, {});
        visit<SharedMemory>(job, updates, begin, end, counters);
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float*) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const FoldInUpdates<Lanes, PlainMemory, kChunks> updates(alone, {});
        Counters counters;
        visit<PlainMemory>(alone, updates, 0, n_epochs * alone.likes.n_pairs, counters);
        return counters.first_non_finite == INT64_MAX;
    }

    using Batch = cml::Batch<PlainMemory, kChunks>;

    static void record(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                       int64_t end, Counters& counters, float*) {
        const Batch batch(job, {}, memory);
        const RecordUpdates<PlainMemory, kChunks> updates(job, batch, first);
        visit<PlainMemory>(job, updates, begin, end, counters);
    }

    static bool gather(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                       int64_t end) {
        return Batch(job, {}, memory).gather(begin - first, end - first);
    }

    static void store(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                      int64_t end) {
        Batch(job, {}, memory).store(begin - first, end - first);
    }
};

template <int kChunks>
constexpr CpuKernel kPairKernel{PairKernel<kChunks>::train,   step<kChunks>,
                                PairKernel<kChunks>::fold_in, PairKernel<kChunks>::record,
                                PairKernel<kChunks>::gather,  PairKernel<kChunks>::store};

// Tiles of pairs that share their negatives. A thread is a team of its own.
struct Alone {
    template <class F>
    CML_FN void each(int64_t n, F f) const {
        for (int64_t i = 0; i < n; ++i) f(i);
    }
    CML_FN void sync() const {}
    CML_FN bool all(bool x) const { return x; }
};

template <int kChunks>
struct TileKernel {
    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters,
                      float* space) {
        Tile<Lanes, SharedMemory, Alone> tile(job, {}, {}, space);
        for (int64_t last; begin < end; begin = last) {
            last = batch_end(begin, end, job.hyper.tile_size, job.likes.n_pairs);
            train_tile<Lanes, kChunks>(job, SharedMemory{}, Alone{}, tile, begin, last, counters);
        }
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float* space) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const int64_t n_pairs = alone.likes.n_pairs, end = n_epochs * n_pairs;
        Tile<Lanes, PlainMemory, Alone> tile(alone, {}, {}, space);
        for (int64_t begin = 0, last; begin < end; begin = last) {
            last = batch_end(begin, end, alone.hyper.tile_size, n_pairs);
            if (!fold_in_tile<Lanes, kChunks>(alone, PlainMemory{}, tile, begin, last))
                return false;
        }
        return true;
    }

    using Batch = TileBatch<PlainMemory, Alone, kChunks>;

    static void record(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                       int64_t end, Counters& counters, float* space) {
        Batch(job, {}, memory).record(first, begin, end, counters, space);
    }

    static bool gather(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                       int64_t) {
        return Batch(job, {}, memory).gather(begin - first);
    }
};

template <int kChunks>
constexpr CpuKernel kTileKernel{TileKernel<kChunks>::train,   step<kChunks>,
                                TileKernel<kChunks>::fold_in, TileKernel<kChunks>::record,
                                TileKernel<kChunks>::gather,  nullptr};

// Pairs of rows of so many chunks, in a translation unit of its own for each number that has one.
template <int kChunks>
CpuKernel fixed_pair_kernel();

#if CML_CHUNKS > 0

template <int kChunks>
CpuKernel fixed_pair_kernel() {
    return kPairKernel<kChunks>;
}
template CpuKernel fixed_pair_kernel<CML_CHUNKS>();

}  // namespace CML_TARGET
}  // namespace cml

#else

template <int... kFixedChunks>
static CpuKernel pair_kernel(int chunks) {
    CpuKernel kernel = kPairKernel<0>;
    ((chunks == kFixedChunks ? void(kernel = fixed_pair_kernel<kFixedChunks>()) : void()), ...);
    return kernel;
}

// Most of the time of a tile goes into its products, which have no use for a fixed number.
static CpuKernel kernel_for(Loss loss, int chunks) {
    return loss == Loss::kWarp ? pair_kernel<CML_FIXED_CHUNKS>(chunks) : kTileKernel<0>;
}

}  // namespace CML_TARGET

#define CML_JOIN(a, b) a##b
#define CML_KERNEL_OF(target) CML_JOIN(kernel_, target)
CpuKernel CML_KERNEL_OF(CML_TARGET)(Loss loss, int n_dims) {
    return kernel_for(loss, (n_dims + kLanes - 1) / kLanes);
}

}  // namespace cml

#endif
