// The training kernel for one instruction set. Nothing here may come from the standard library:
// its inline functions would be compiled for that set and could be linked into all of them.
#include "kernel.h"

#include "../core/async.h"
#include "../core/sync.h"
#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Threads change shared rows without locks, as Hogwild has it: the last one to store wins. In
// mini-batches every row belongs to one thread.
struct SharedMemory {
    template <class Part>
    CML_FN Lanes load(const float* p, Part part) const {
        return Lanes::load(p, part);
    }

    template <class Part>
    CML_FN void commit(float* p, const Lanes&, const Lanes& after, Part part) const {
        after.store(p, part);
    }

    CML_FN int32_t claim(int32_t* slot, int32_t own) const {
        if (*slot < 0) *slot = own;
        return *slot;
    }

    template <class Part>
    CML_FN void add_rounded(int64_t* sums, const Lanes& x, float scale, Part part) const {
        Lanes::add_rounded(sums, x, scale, part);
    }
};

// The rows of a mini-batch are shared out by their numbers.
struct Owner {
    uint32_t worker, n_workers;

    CML_FN bool operator()(int32_t row) const {
        return static_cast<uint32_t>(row) % n_workers == worker;
    }
};

constexpr int kFetchAhead = 4;  // records and slots

template <int kChunks>
struct Kernel {
    template <class Updates>
    static void visit(const Job& job, Updates updates, int64_t begin, int64_t end,
                      Counters& counters) {
        Pair tile[kLanes];
        alignas(64) float distances[kMaxNegatives];
        alignas(64) int32_t negatives[2 * kMaxNegatives];
        for (int i = 0; i < kMaxNegatives; ++i) distances[i] = INFINITY;
        const Scratch scratch{tile, distances, negatives, kMaxNegatives};
        Walk<Lanes, SharedMemory, WarpLoss, kChunks, Updates>(job, {}, scratch, updates)
            .visit(begin, end, counters);
    }

    static void train(const Job& job, int64_t begin, int64_t end, Counters& counters) {
        visit(job, AsyncUpdates<Lanes, SharedMemory, kChunks>(job, {}), begin, end, counters);
    }

    static void record(const Job& job, const BatchMemory& batch, int64_t first, int64_t begin,
                       int64_t end, Counters& counters) {
        visit(job, SyncUpdates(batch, first), begin, end, counters);
    }

    static void add(const Job& job, const BatchMemory& batch, int64_t n, int worker,
                    int n_workers) {
        const Batch<Lanes, SharedMemory, kChunks> sums(job, {}, batch);
        const Owner mine{static_cast<uint32_t>(worker), static_cast<uint32_t>(n_workers)};
        for (int64_t i = 0; i < n; ++i) {
            if (i + kFetchAhead < n) sums.fetch_record(i + kFetchAhead);
            sums.add(i, mine);
        }
    }

    static void apply(const Job& job, const BatchMemory& batch, int64_t first, int64_t n,
                      int worker, int n_workers, Counters& counters) {
        const Batch<Lanes, SharedMemory, kChunks> sums(job, {}, batch);
        const Owner mine{static_cast<uint32_t>(worker), static_cast<uint32_t>(n_workers)};
        bool finite = true;
        for (int64_t slot = 0; slot < 3 * n; ++slot) {
            if (slot + kFetchAhead < 3 * n) sums.fetch_slot(slot + kFetchAhead, mine);
            finite &= sums.apply(slot, mine);
        }
        if (!finite && first < counters.first_non_finite) counters.first_non_finite = first;
    }
};

template <int kChunks>
constexpr CpuKernel kKernel{Kernel<kChunks>::train, Kernel<kChunks>::record, Kernel<kChunks>::add,
                            Kernel<kChunks>::apply};

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
