// How many teams divide the tiles between them, see tiles.cuh.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../core/job.h"

namespace cml {

// Cycles that a tile takes a team of so many blocks, roughly: enough to choose between numbers of
// teams. The pairs of a tile are dealt out to blocks in units; the block with the most is the last.
inline int64_t tile_cycles(const Hyperparameters& hyper, int64_t n_blocks) {
    constexpr int64_t kUnit = 8;           // pairs, Lanes::kProductRows
    constexpr int64_t kProducts = 3;       // see core/tile.h
    constexpr int64_t kMultiplyAdds = 32;  // that a block makes in a cycle
    constexpr int64_t kWaits = 10000;      // for memory, however many blocks there are
    constexpr int64_t kBarriers = 7000;    // of the grid, where blocks share a tile
    const int64_t units = (hyper.tile_size + kUnit - 1) / kUnit;
    const int64_t pairs = (units + n_blocks - 1) / n_blocks * kUnit;
    return pairs * kProducts * hyper.n_negatives * hyper.n_dims / kMultiplyAdds + kWaits +
           (n_blocks > 1 ? kBarriers : 0);
}

// How many teams, at most `most`, work on so many tiles in the least time. In each round every team
// works on a tile. More teams make fewer rounds, but have fewer blocks: where the tiles do not
// divide evenly, fewer teams can be faster.
inline int64_t choose_teams(const Hyperparameters& hyper, int64_t n_tiles, int64_t most,
                            int64_t n_blocks) {
    int64_t best = 1, least = INT64_MAX;
    for (int64_t teams = std::min({n_tiles, most, n_blocks}); teams >= 1; --teams) {
        const int64_t rounds = (n_tiles + teams - 1) / teams;
        // The team with the fewest blocks is the last.
        const int64_t cycles = rounds * tile_cycles(hyper, n_blocks / teams);
        if (cycles < least) {
            best = teams;
            least = cycles;
        }
    }
    return best;
}

}  // namespace cml
