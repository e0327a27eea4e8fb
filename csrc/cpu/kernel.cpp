// The training kernel for one instruction set. Nothing here may come from the standard library:
// its inline functions would be compiled for that set and could be linked into all of them.
#include "kernel.h"

#include "../core/async.h"
#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Threads change shared rows without locks, as Hogwild has it: the last one to store wins.
struct SharedMemory {
    template <class Part>
    CML_FN Lanes load(const float* p, Part part) const {
        return Lanes::load(p, part);
    }

    template <class Part>
    CML_FN void commit(float* p, const Lanes&, const Lanes& after, Part part) const {
        after.store(p, part);
    }
};

template <int kChunks>
static void train_with(const Job& job, int64_t begin, int64_t end, Counters& counters) {
    Pair tile[kLanes];
    alignas(64) float distances[kMaxNegatives];
    alignas(64) int32_t negatives[2 * kMaxNegatives];
    for (int i = 0; i < kMaxNegatives; ++i) distances[i] = INFINITY;
    const Scratch scratch{tile, distances, negatives, kMaxNegatives};
    using Updates = AsyncUpdates<Lanes, SharedMemory, kChunks>;
    const SharedMemory memory;
    Walk<Lanes, SharedMemory, WarpLoss, kChunks, Updates>(job, memory, scratch, {job, memory})
        .visit(begin, end, counters);
}

static void train(const Job& job, int64_t begin, int64_t end, Counters& counters) {
    using Train = void (*)(const Job&, int64_t, int64_t, Counters&);
    static constexpr Train by_chunks[kMaxFixedChunks + 1] = {
        train_with<0>, train_with<1>, train_with<2>, train_with<3>, train_with<4>,
        train_with<5>, train_with<6>, train_with<7>, train_with<8>};
    const int chunks = (job.hyper.n_dims + kLanes - 1) / kLanes;
    by_chunks[chunks <= kMaxFixedChunks ? chunks : 0](job, begin, end, counters);
}

}  // namespace CML_TARGET

#define CML_JOIN(a, b) a##b
#define CML_KERNEL_OF(target) CML_JOIN(kernel_, target)
CpuKernel CML_KERNEL_OF(CML_TARGET)() {
    return {train};
}

}  // namespace cml
