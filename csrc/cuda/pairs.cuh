// Pairs with negatives of their own: every warp is a worker.
#pragma once

#include "../core/async.h"
#include "batch.cuh"
#include "grid.cuh"

namespace cml {
inline namespace CML_TARGET {

static_assert(sizeof(Pair) == kPairBytes, "the host sizes the shared memory");

// What the pairs of a mini-batch ask for is added up.
template <int kChunks>
class ScatterUpdates {
 public:
    // `first`: the first visit of the batch.
    CML_FN ScatterUpdates(const CudaLaunch& launch, DeviceMemory memory, int64_t first)
        : job_(launch.job), memory_(memory), sums_(launch), first_(first) {}

    CML_FN void coming(const Pair&) const {}
    CML_FN void chosen(int32_t) const {}

    CML_FN bool take(int64_t visit, const Pair& pair, int32_t negative,
                     const Contribution& c) const {
        if (negative < 0) return true;
        if (!is_fit(job_, c)) return false;
        const Record record{pair.user, pair.positive, negative, 2.0f * c.weight};
        const int32_t numbers[3] = {record.user, record.positive, record.negative};
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            sums_.add(t == 0, numbers[t], 3 * (visit - first_) + t,
                      RecordGradient<Lanes, DeviceMemory>(job_, memory_, record, t));
        }
        return true;
    }

 private:
    const Job& job_;
    DeviceMemory memory_;
    BatchSums<kChunks> sums_;
    int64_t first_;
};

template <int kChunks>
class PairWorker {
 public:
    static constexpr int kThreads = kWarpsPerBlock * kLanes;
    static constexpr int kBlocks = kResidentBlocks<kChunks>;
    static constexpr int kRowChunks = kChunks;

    CML_FN PairWorker(const CudaLaunch& launch, int64_t* shared_memory)
        : launch_(launch), warp_(this_warp()), scratch_(scratch_in(shared_memory, launch.stride)) {}

    CML_FN void train(Counters& counters) const {
        using Updates = AsyncUpdates<Lanes, DeviceMemory, kChunks>;
        const DeviceMemory memory{launch_.shared};
        Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(launch_.job, memory, scratch_,
                                                                   {launch_.job, memory});
        for (int64_t from = launch_.begin + warp_.number * kLanes; from < launch_.end;
             from += warp_.n_warps * kLanes) {
            if (is_set(&launch_.counters->first_non_finite)) break;
            const int64_t to = from + kLanes < launch_.end ? from + kLanes : launch_.end;
            walk.visit(from, to, counters);
            if (counters.first_non_finite != INT64_MAX) break;
        }
    }

    CML_FN void contribute(int64_t first, int64_t last, Counters& counters) const {
        const int64_t share = (last - first + warp_.n_warps - 1) / warp_.n_warps;
        const int64_t from = first + warp_.number * share;
        if (from >= last) return;
        const DeviceMemory memory{false};  // nothing is written to tables
        using Updates = ScatterUpdates<kChunks>;
        Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(launch_.job, memory, scratch_,
                                                                   {launch_, memory, first});
        walk.visit(from, from + share < last ? from + share : last, counters);
    }

 private:
    // The calling warp's part of its block's shared memory.
    static CML_FN Scratch scratch_in(int64_t* shared_memory, int64_t stride) {
        const int in_block = static_cast<int>(threadIdx.x) / kLanes;
        char* const memory =
            reinterpret_cast<char*>(shared_memory) + in_block * scratch_bytes(stride);
        Pair* const tile = reinterpret_cast<Pair*>(memory);
        float* const distances = reinterpret_cast<float*>(tile + kLanes);
        int32_t* const negatives = reinterpret_cast<int32_t*>(distances + stride);
        Lanes::each(static_cast<int>(stride), [=](int i) { distances[i] = INFINITY; });
        Lanes::sync();
        return {tile, distances, negatives, stride};
    }

    const CudaLaunch& launch_;
    Warp warp_;
    Scratch scratch_;
};

}  // namespace CML_TARGET
}  // namespace cml
