// The worker for losses with shared negatives, which is a block: it works on one tile at a time.
#pragma once

#include "../core/tile_updates.h"
#include "gradient_sums.cuh"
#include "grid.cuh"

namespace cml {
inline namespace CML_TARGET {

// The warps of a block as a `Team`, see tile.h.
struct BlockTeam {
    template <class F>
    CML_FN void each(int64_t n, F f) const {
        for (int64_t i = threadIdx.x / kLanes; i < n; i += blockDim.x / kLanes) f(i);
    }
    CML_FN void sync() const { __syncthreads(); }
    CML_FN bool all(bool x) const { return __syncthreads_and(x) != 0; }
};

template <int kChunks>
class TileWorker {
 public:
    static constexpr int kThreads = kTileWarps * kLanes;
    static constexpr int kBlocks = kTileBlocks;
    static constexpr int kRowChunks = kChunks;

    CML_FN TileWorker(const CudaLaunch& launch, int64_t*)
        : launch_(launch),
          memory_{launch.shared},
          tile_(launch.job, memory_, {},
                launch.workspaces + blockIdx.x * workspace_floats(hyper(), kCudaColumns)) {}

    // The blocks take the tiles in turn. Tiles end with their epoch.
    CML_FN void train(Counters& counters) {
        const int64_t n_pairs = launch_.job.likes.n_pairs, size = hyper().tile_size;
        const int64_t in_epoch = (n_pairs + size - 1) / size;
        for (int64_t tile =
                 launch_.begin / n_pairs * in_epoch + launch_.begin % n_pairs / size + blockIdx.x;
             ; tile += gridDim.x) {
            const int64_t from = tile / in_epoch * n_pairs + tile % in_epoch * size;
            if (from >= launch_.end) break;
            if (!BlockTeam{}.all(!is_set(&launch_.counters->sums.first_non_finite))) break;
            const int64_t to = batch_end(from, launch_.end, size, n_pairs);
            tile_.draw({from, to});
            train_tile<Lanes, kChunks>(launch_.job, memory_, BlockTeam{}, tile_, {from, to}, {},
                                       counters);
            if (counters.first_non_finite != INT64_MAX) break;
        }
    }

    CML_FN void accumulate(int64_t first, int64_t last, Counters& counters) {
        const GradientSums<kChunks, kChunks> sums(launch_);
        const TileSlots& slots = tile_.slots();
        const int64_t size = hyper().tile_size, n_slots = tile_slots(hyper());
        for (int64_t tile = blockIdx.x; first + tile * size < last; tile += gridDim.x) {
            const int64_t from = first + tile * size;
            const int64_t to = from + size < last ? from + size : last;
            tile_.draw({from, to});
            if (!tile_.compute_gradients({from, to}, {}, false, slots, counters)) {
                counters.first_non_finite = from;
                return;
            }
            const int64_t first_slot = tile * n_slots;
            BlockTeam{}.each(n_slots, [&](int64_t slot) {
                const int32_t number = slots.rows[slot];
                if (number < 0) return;
                sums.add(slot < size, number, first_slot + slot, [&](int c, auto part) {
                    return Lanes::load(slots.gradients + slot * slots.stride + c * kLanes, part);
                });
            });
        }
    }

 private:
    CML_FN const Hyperparameters& hyper() const { return launch_.job.hyper; }

    const CudaLaunch& launch_;
    DeviceMemory memory_;
    Tile<Lanes, DeviceMemory, BlockTeam, kChunks> tile_;
};

}  // namespace CML_TARGET
}  // namespace cml
