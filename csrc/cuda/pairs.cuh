// The worker for pairwise losses, which is a warp.
#pragma once

#include "../core/async.h"
#include "../core/losses/registry.h"
#include "gradient_sums.cuh"
#include "grid.cuh"

namespace cml {
inline namespace CML_TARGET {

static_assert(sizeof(Pair) == kPairBytes, "the host computes the size of shared memory from it");

// Adds the gradients of the pairs of a mini-batch to the sums of their rows.
template <int kChunks>
class SumUpdates {
 public:
    // `first`: the first sample of the batch.
    CML_FN SumUpdates(const CudaLaunch& launch, DeviceMemory memory, int64_t first)
        : job_(launch.job), memory_(memory), sums_(launch), first_(first) {}

    CML_FN void prefetch(const Pair&) const {}
    CML_FN void on_negative(int32_t) const {}

    CML_FN bool apply(int64_t sample, const Pair& pair, int32_t negative,
                      const PairLoss& loss) const {
        if (negative < 0) return true;
        if (!is_summable(job_, loss)) return false;
        const Triplet triplet{pair.user, pair.positive, negative, 2.0f * loss.weight};
        const int32_t numbers[kTripletRows] = {triplet.user, triplet.positive, triplet.negative};
        CML_UNROLL
        for (int t = 0; t < kTripletRows; ++t) {
            sums_.add(t == 0, numbers[t], kSlotsOfPair * (sample - first_) + t,
                      TripletGradient<Lanes, DeviceMemory>(job_, memory_, triplet, t));
        }
        return true;
    }

 private:
    const Job& job_;
    DeviceMemory memory_;
    // Longer gradients would take the registers of a resident block.
    GradientSums<kChunks, kChunks <= 5 ? kChunks : 0> sums_;
    int64_t first_;
};

template <class Policy, int kChunks>
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
        PairStep<Lanes, DeviceMemory, Policy, kChunks, Updates> step(launch_.job, memory, scratch_,
                                                                     {launch_.job, memory});
        for (int64_t from = launch_.begin + warp_.number * kLanes; from < launch_.end;
             from += warp_.n_warps * kLanes) {
            if (is_set(&launch_.counters->sums.first_non_finite)) break;
            const int64_t to = from + kLanes < launch_.end ? from + kLanes : launch_.end;
            step.run(from, to, counters);
            if (counters.first_non_finite != INT64_MAX) break;
        }
    }

    CML_FN void accumulate(int64_t first, int64_t last, Counters& counters) const {
        const int64_t share = (last - first + warp_.n_warps - 1) / warp_.n_warps;
        const int64_t from = first + warp_.number * share;
        if (from >= last) return;
        const DeviceMemory memory{false};  // the tables are not written to
        using Updates = SumUpdates<kChunks>;
        PairStep<Lanes, DeviceMemory, Policy, kChunks, Updates> step(launch_.job, memory, scratch_,
                                                                     {launch_, memory, first});
        step.run(from, from + share < last ? from + share : last, counters);
    }

 private:
    // The calling warp's part of its block's shared memory.
    static CML_FN Scratch scratch_in(int64_t* shared_memory, int64_t stride) {
        const int in_block = static_cast<int>(threadIdx.x) / kLanes;
        char* const memory =
            reinterpret_cast<char*>(shared_memory) + in_block * scratch_bytes(stride);
        Pair* const block = reinterpret_cast<Pair*>(memory);
        float* const distances = reinterpret_cast<float*>(block + kLanes);
        int32_t* const negatives = reinterpret_cast<int32_t*>(distances + stride);
        Lanes::each(static_cast<int>(stride), [=](int i) { distances[i] = INFINITY; });
        Lanes::sync();
        return {block, distances, negatives, stride};
    }

    const CudaLaunch& launch_;
    Warp warp_;
    Scratch scratch_;
};

}  // namespace CML_TARGET
}  // namespace cml
