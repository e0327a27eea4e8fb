// The warps of a grid, and what they tell each other.
#pragma once

#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

// The calling warp among all of the grid.
struct Warp {
    int64_t number, n_warps;
};

CML_FN Warp this_warp() {
    const int64_t warps_in_block = blockDim.x / kLanes;
    return {blockIdx.x * warps_in_block + threadIdx.x / kLanes, gridDim.x * warps_in_block};
}

CML_FN void report(const Counters& counters, DeviceCounters* sum) {
    if (Lanes::lane() != 0) return;  // every lane counted the same
    atomicAdd(&sum->pairs, static_cast<unsigned long long>(counters.pairs));
    atomicAdd(&sum->active, static_cast<unsigned long long>(counters.active));
    atomicAdd(&sum->impostors, static_cast<unsigned long long>(counters.impostors));
    atomicAdd(&sum->skipped, static_cast<unsigned long long>(counters.skipped));
    atomicAdd(&sum->loss, counters.loss);
}

// Set a flag to this visit, unless an earlier one is there. INT64_MAX: there was none.
CML_FN void note(int64_t visit, unsigned long long* flag) {
    if (visit == INT64_MAX || Lanes::lane() != 0) return;
    atomicMin(flag, static_cast<unsigned long long>(visit));
}

// Whether a flag that other warps set is set. Asked of one lane, so that all agree.
CML_FN bool is_set(const unsigned long long* flag) {
    const volatile unsigned long long* const now = flag;
    return __shfl_sync(0xFFFFFFFFu, *now != INT64_MAX, 0);
}

// Blocks that a multiprocessor must hold at once. Left alone, ptxas aims for more of them and
// spills; 16 warps already keep enough loads in flight.
template <int kChunks>
constexpr int kResidentBlocks = kChunks >= 1 && kChunks <= 5 ? 4 : 3;

}  // namespace CML_TARGET
}  // namespace cml
