// The training kernel for one instruction set. Nothing here may come from the standard library:
// its inline functions would be compiled for that set and could be linked into all of them.
#include "kernel.h"

#include "../core/async.h"
#include "../core/fold_in.h"
#include "batch.h"
#include "lanes.h"
#include "memory.h"

namespace cml {
inline namespace CML_TARGET {

template <int kChunks>
struct Kernel {
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

    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters) {
        const AsyncUpdates<Lanes, SharedMemory, kChunks> updates(job, {});
        visit<SharedMemory>(job, updates, begin, end, counters);
    }

    static int64_t step(const Job& job, const RowGradients& gradients, int64_t begin, int64_t end) {
        while (begin < end &&
               step_row<Lanes, kChunks>(job.hyper, PlainMemory{}, gradients, begin)) {
            ++begin;
        }
        return begin;
    }

    static bool fold_in(const Job& job, int64_t user, int64_t n_epochs) {
        int64_t indptr[2];
        const Job alone = job_of_user(job, user, indptr);
        const FoldInUpdates<Lanes, PlainMemory, kChunks> updates(alone, {});
        Counters counters;
        visit<PlainMemory>(alone, updates, 0, n_epochs * alone.likes.n_pairs, counters);
        return counters.first_non_finite == INT64_MAX;
    }

    using Batch = cml::Batch<PlainMemory, kChunks>;

    static void record(const Job& job, const BatchMemory& memory, int64_t first, int64_t begin,
                       int64_t end, Counters& counters) {
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
constexpr CpuKernel kKernel{Kernel<kChunks>::train,   Kernel<kChunks>::step,
                            Kernel<kChunks>::fold_in, Kernel<kChunks>::record,
                            Kernel<kChunks>::gather,  Kernel<kChunks>::store};

static CpuKernel kernel_for(int n_dims) {
    static constexpr CpuKernel by_chunks[kMaxFixedChunks + 1] = {
        kKernel<0>, kKernel<1>, kKernel<2>, kKernel<3>, kKernel<4>,
        kKernel<5>, kKernel<6>, kKernel<7>, kKernel<8>};
    const int chunks = (n_dims + kLanes - 1) / kLanes;
    return by_chunks[chunks <= kMaxFixedChunks ? chunks : 0];
}

}  // namespace CML_TARGET

#define CML_JOIN(a, b) a##b
#define CML_KERNEL_OF(target) CML_JOIN(kernel_, target)
CpuKernel CML_KERNEL_OF(CML_TARGET)(int n_dims) {
    return kernel_for(n_dims);
}

}  // namespace cml
