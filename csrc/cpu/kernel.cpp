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
#include "negatives.h"
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

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float retention, float*) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const FoldInUpdates<Lanes, PlainMemory, kChunks> updates(alone, {});
        const int64_t n_pairs = alone.likes.n_pairs, end = n_epochs * n_pairs;
        // Where nothing happens between epochs, one run is enough.
        const int64_t step = retention == 1.0f ? end : n_pairs;
        Counters counters;
        for (int64_t begin = 0; begin < end; begin += step) {
            if (begin > 0) draw_back(alone, retention);
            run<PlainMemory>(alone, updates, begin, begin + step, counters);
        }
        return counters.first_non_finite == INT64_MAX;
    }

    using Batch = PairMinibatch<PlainMemory, kChunks>;

    static void collect(const Job& job, const MinibatchMemory& memory, int64_t first,
                        SampleRange samples, SampleRange, Counters& counters, float*) {
        const Batch batch(job, {}, memory);
        const TripletUpdates<PlainMemory, kChunks> updates(job, batch, first);
        run<PlainMemory>(job, updates, samples.begin, samples.end, counters);
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
    PairKernel<Policy, kChunks>::fold_in, nullptr,
    PairKernel<Policy, kChunks>::collect, PairKernel<Policy, kChunks>::gather,
    PairKernel<Policy, kChunks>::store};

// The `Team` of a single thread, see core/tile.h.
struct Alone {
    template <class F>
    CML_FN void each(int64_t n, F f, int = 0) const {
        for (int64_t i = 0; i < n; ++i) f(i);
    }
    CML_FN void sync() const {}

    // It is one group.
    CML_FN Share own(int n) const { return {0, 1, n}; }
    template <class F>
    CML_FN void each_in_group(int64_t n, F f) const {
        each(n, f);
    }
    CML_FN void sync_group() const {}

    // And a squad, which has all columns.
    struct Squad {
        template <class F>
        CML_FN void each(int, Share rows, F f) const {
            for (int row = 0; row < rows.count; ++row) f(row);
        }
        CML_FN bool idle() const { return false; }
    };
    template <bool>
    CML_FN Squad squad(int) const {
        return {};
    }

    CML_FN bool all(bool x, bool) const { return x; }
};

// The kernel of all losses with shared negatives.
template <int kChunks>
struct TileKernel {
    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters,
                      float* workspace) {
        Tile<Lanes, SharedMemory, Alone> tile(job, {}, {}, workspace);
        each_tile(job, begin, end, tile, [&](SampleRange now, SampleRange upcoming) {
            train_tile<Lanes, kChunks>(job, SharedMemory{}, Alone{}, tile, now, upcoming, counters);
            return true;
        });
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs, float retention,
                        float* workspace) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const int64_t n_pairs = alone.likes.n_pairs, end = n_epochs * n_pairs;
        Tile<Lanes, PlainMemory, Alone> tile(alone, {}, {}, workspace);
        return each_tile(alone, 0, end, tile, [&](SampleRange now, SampleRange upcoming) {
            if (now.begin > 0 && now.begin % n_pairs == 0) draw_back(alone, retention);
            return fold_in_tile<Lanes, kChunks>(alone, PlainMemory{}, tile, now, upcoming);
        });
    }

    // step(tile, upcoming) for each tile of the samples [begin, end), until one returns false.
    template <class Memory, class Step>
    static bool each_tile(const Job& job, int64_t begin, int64_t end,
                          Tile<Lanes, Memory, Alone>& tile, Step step) {
        if (begin >= end) return true;  // of a user without likes
        auto tile_at = [&](int64_t first) -> SampleRange {
            if (first >= end) return {end, end};
            return {first, batch_end(first, end, job.hyper.tile_size, job.likes.n_pairs)};
        };
        SampleRange now = tile_at(begin);
        tile.draw(now);
        while (now.begin < end) {
            const SampleRange upcoming = tile_at(now.end);
            if (!step(now, upcoming)) return false;
            now = upcoming;
        }
        return true;
    }

    using Batch = TileMinibatch<PlainMemory, Alone, kChunks>;

    static void draw(const Job& job, SampleRange samples, float* workspace) {
        Tile<Lanes, PlainMemory, Alone>(job, {}, {}, workspace).draw(samples);
    }

    static void collect(const Job& job, const MinibatchMemory& memory, int64_t first,
                        SampleRange samples, SampleRange upcoming, Counters& counters,
                        float* workspace) {
        Batch(job, {}, memory).collect(first, samples, upcoming, counters, workspace);
    }

    static bool gather(const Job& job, const MinibatchMemory& memory, int64_t first, int64_t begin,
                       int64_t) {
        return Batch(job, {}, memory).gather(begin - first);
    }
};

template <int kChunks>
constexpr CpuKernel kTileKernel{TileKernel<kChunks>::train,
                                step<kChunks>,
                                TileKernel<kChunks>::fold_in,
                                TileKernel<kChunks>::draw,
                                TileKernel<kChunks>::collect,
                                TileKernel<kChunks>::gather,
                                nullptr};

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
