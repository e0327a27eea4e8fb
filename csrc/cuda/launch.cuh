// Launching kernels: checks of errors, and grids.
#pragma once

#include <stdexcept>
#include <string>

#include "kernel.h"

namespace cml {

inline void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string("CUDA: ") + what + " failed: " +
                             cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

struct Grid {
    dim3 blocks;
    dim3 threads;         // of a block
    size_t shared_bytes;  // of a block: for counters, and for Scratch if its warps need it
    int64_t n_teams = 0;  // that work on tiles, see tiles.cuh
};

// A grid with as many warps, but blocks of at most kWarpsPerBlock, for the kernels whose warps
// divide rows between them.
inline Grid grid_for_rows(const Grid& grid) {
    constexpr unsigned kThreads = kWarpsPerBlock * kLanes;
    if (grid.threads.x <= kThreads) return {grid.blocks, grid.threads, 0};
    return {dim3(grid.blocks.x * (grid.threads.x / kThreads)), dim3(kThreads), 0};
}

}  // namespace cml
