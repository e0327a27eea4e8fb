// The worker for losses with shared negatives, which works on one tile at a time: a block, or a
// team of several.
#pragma once

#include <cooperative_groups.h>

#include "../core/tile_updates.h"
#include "gradient_sums.cuh"
#include "grid.cuh"
#include "negatives.cuh"
#include "row_table.cuh"
#include "squad.cuh"
#include "tensor_cores.cuh"

namespace cml {
inline namespace CML_TARGET {

// The `Team` of tile.h: the warps of all blocks whose number is the same modulo the number of
// teams. So all blocks of the device work, however few tiles there are. Successive calls go to
// different blocks.
//
// Where teams have several blocks, they meet by the barrier of the grid (a cooperative launch),
// because this takes hardly longer than to meet in teams. So all teams must go through the same
// steps, and those without a tile go through them with an empty one. A team that is a single block
// does not wait for others.
class BlocksTeam {
 public:
    CML_FN BlocksTeam(const CudaLaunch& launch, int64_t* shared_memory)
        : n_teams_(static_cast<int>(launch.n_teams)),
          votes_(launch.counters->votes),
          stages_(reinterpret_cast<float*>(shared_memory)) {}

    CML_FN int64_t number() const { return static_cast<int>(blockIdx.x) % n_teams_; }
    CML_FN int64_t n_teams() const { return n_teams_; }
    CML_FN bool is_block() const { return static_cast<int>(gridDim.x) == n_teams_; }

    // Whether this team goes through the steps of a tile, of n.
    CML_FN bool takes(int64_t tile, int64_t n) const {
        return (is_block() ? tile : tile - number()) < n;
    }

    template <class F>
    CML_FN void each(int64_t n, F f, int earlier = 0) const {
        const int warps = count_warps(), warp = warp_number();
        for (int64_t i = (warp + warps - earlier % warps) % warps; i < n; i += warps) f(i);
    }

    // A block is a group.
    CML_FN Share own(int n) const {
        const int blocks = count_blocks(), first = place();
        return {first, blocks, first < n ? (n - first - 1) / blocks + 1 : 0};
    }

    template <class F>
    CML_FN void each_in_group(int64_t n, F f) const {
        const int warp = static_cast<int>(threadIdx.x) / kLanes;
        for (int64_t i = warp; i < n; i += warps_of_block()) f(i);
    }

    template <bool kStaged>
    CML_FN Squad<kStaged> squad(int n_columns) const {
        return {n_columns, stages_};
    }

    CML_FN void sync_group() const { __syncthreads(); }

    CML_FN void sync() const {
        if (is_block()) {
            __syncthreads();
        } else {
            cooperative_groups::this_grid().sync();
        }
    }

    // Whether x is true for all members of all teams that meet; also a sync(). Where these are
    // several teams, nobody may vote again after the answer was no. Of two successive votes one is
    // the first and one is not: while some blocks read the answer to one, others may vote in the
    // other.
    CML_FN bool all(bool x, bool first) const {
        if (is_block()) return __syncthreads_and(x) != 0;
        int64_t* const flag = votes_ + (first ? 0 : 1);
        if (!x) set_flag(0, flag);
        sync();
        return !is_set(flag);
    }

 private:
    static CML_FN int warps_of_block() { return static_cast<int>(blockDim.x) / kLanes; }

    // The blocks of this team, and which of them this is.
    CML_FN int count_blocks() const {
        return (static_cast<int>(gridDim.x) - 1 - static_cast<int>(number())) / n_teams_ + 1;
    }
    CML_FN int place() const { return static_cast<int>(blockIdx.x) / n_teams_; }

    // Its warps, numbered so that successive ones are in different blocks.
    CML_FN int count_warps() const { return warps_of_block() * count_blocks(); }
    CML_FN int warp_number() const {
        return static_cast<int>(threadIdx.x) / kLanes * count_blocks() + place();
    }

    int n_teams_;
    int64_t* votes_;  // flags of the votes that were lost, see grid.cuh
    float* stages_;   // in shared memory, see squad.cuh
};

template <int kChunks, bool kTensorCores>
class TileWorker {
 public:
    static constexpr int kThreads = kTileWarps * kLanes;
    // With the registers of one block, no length of rows spills on any device; with two that is up
    // to chance. A second one would have little to do in mini-batches, and products keep a
    // multiprocessor busy with eight warps: see docs/design/kernels.md.
    static constexpr int kBlocks = 1;
    static constexpr int kRowChunks = kChunks;

    CML_FN TileWorker(const CudaLaunch& launch, int64_t* shared_memory)
        : launch_(launch),
          shared_memory_(shared_memory),
          memory_{launch.shared},
          team_(launch, shared_memory),
          tile_(launch.job, memory_, team_,
                launch.workspaces + team_.number() * workspace_floats(hyper(), InLane::kNegative)) {
    }

    // The teams take the tiles in turn. Tiles end with their epoch.
    CML_FN void train(Counters& counters) {
        const int64_t n_pairs = launch_.job.likes.n_pairs, size = hyper().tile_size;
        const int64_t in_epoch = (n_pairs + size - 1) / size;
        const auto tile_of = [=](int64_t sample) {
            return sample / n_pairs * in_epoch + sample % n_pairs / size;
        };
        const int64_t first = tile_of(launch_.begin), n = tile_of(launch_.end - 1) + 1 - first;
        for (int64_t i = team_.number(); team_.takes(i, n); i += team_.n_teams()) {
            if (team_.is_block() && !team_.all(!failed(), true)) break;
            const int64_t tile = first + i;
            const int64_t from =
                i < n ? tile / in_epoch * n_pairs + tile % in_epoch * size : launch_.end;
            const int64_t to = i < n ? batch_end(from, launch_.end, size, n_pairs) : launch_.end;
            tile_.draw({from, to});
            if (!train_tile<Lanes, kChunks>(launch_.job, memory_, team_, tile_, {from, to}, {},
                                            counters)) {
                break;
            }
        }
    }

    // A tile that is refused is gone through, too: the others of its team cannot know, and what was
    // added up is not used then.
    CML_FN void accumulate(int64_t first, int64_t last, Counters& counters) {
        const GradientSums<kChunks, kChunks> sums(launch_);
        const TileSlots& slots = tile_.slots();
        const int64_t size = hyper().tile_size;
        const int n_slots = static_cast<int>(tile_slots(hyper()));
        const int64_t n_tiles = (last - first + size - 1) / size;
        for (int64_t tile = team_.number(); team_.takes(tile, n_tiles); tile += team_.n_teams()) {
            const int64_t from = tile < n_tiles ? first + tile * size : last;
            const int64_t to = from + size < last ? from + size : last;
            tile_.draw({from, to});
            const bool bounded = tile_.compute_gradients({from, to}, {}, false, slots, counters);
            if (!bounded && from < to && from < counters.first_non_finite) {
                counters.first_non_finite = from;
            }
            team_.sync();
            // All gradients that this block adds to a row are added up first.
            const Share own = team_.own(n_slots);
            const auto slot_of = [=](int i) { return own.first + i * own.step; };
            const RowTable table(shared_memory_, own.count);
            const auto key = [&](int i) -> int32_t {
                const int slot = slot_of(i);
                const int32_t number = slots.rows[slot];
                if (number < 0) return RowTable::kNoRow;
                return slot < size ? number : ~number;
            };
            const auto claim = [&](int i, int32_t row) {
                const bool is_user = row >= 0;
                return sums.claim(is_user, is_user ? row : ~row, tile * n_slots + slot_of(i));
            };
            table.each_row(key, claim, [&](int64_t sum, auto each) {
                sums.add(sum, [&](auto add) {
                    each([&](int i) {
                        const float* const gradient = slots.gradients + slot_of(i) * slots.stride;
                        add([=](int c, auto part) {
                            return Lanes::load(gradient + c * kLanes, part);
                        });
                    });
                });
            });
        }
    }

 private:
    CML_FN const Hyperparameters& hyper() const { return launch_.job.hyper; }

    // Whether another team has met a value that is not finite.
    CML_FN bool failed() const { return is_set(&launch_.counters->sums.first_non_finite); }

    const CudaLaunch& launch_;
    int64_t* shared_memory_;  // of the block, for stages of products (squad.cuh) or a RowTable
    DeviceMemory memory_;
    BlocksTeam team_;
    Tile<Lanes, DeviceMemory, BlocksTeam, kChunks, kTensorCores> tile_;
};

}  // namespace CML_TARGET
}  // namespace cml
