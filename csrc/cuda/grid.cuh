// The warps of a grid, their counters and their flags.
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

// Call f(i, x) for those i < n of a warp for which x = look_up(i) is not negative. For each 32 of
// them every lane looks one up, so that the warp waits for memory once.
template <class LookUp, class F>
CML_FN void each_looked_up(const Warp& warp, int64_t n, LookUp look_up, F f) {
    for (int64_t first = warp.number; first < n; first += kLanes * warp.n_warps) {
        const int64_t own = first + Lanes::lane() * warp.n_warps;
        const int64_t x = own < n ? look_up(own) : -1;
        for (uint32_t left = __ballot_sync(kAllLanes, x >= 0); left != 0; left &= left - 1) {
            const int k = lowest_bit(left);
            f(first + k * warp.n_warps, __shfl_sync(kAllLanes, x, k));
        }
    }
}

// CUDA's atomic operations on 64-bit integers are for unsigned ones; a sum in two's complement and
// the minimum of numbers that are not negative have the same bits.
CML_FN unsigned long long* as_unsigned(int64_t* p) {
    return reinterpret_cast<unsigned long long*>(p);
}

// Shared memory begins with a Counters for each warp of the block, where it counts over several
// mini-batches: in registers, sums would be spilled. Only lane 0 uses it, because every lane counts
// the same. first_non_finite is not part of it: see set_flag().
static_assert(sizeof(Counters) % 16 == 0, "what follows may have to be aligned");

CML_FN Counters* counters_in(int64_t* shared_memory) {
    return reinterpret_cast<Counters*>(shared_memory) + threadIdx.x / kLanes;
}

CML_FN int64_t* after_counters(int64_t* shared_memory) {
    return shared_memory + blockDim.x / kLanes * (sizeof(Counters) / sizeof(int64_t));
}

CML_FN void clear(Counters* sum) {
    if (Lanes::lane() == 0) *sum = {};
}

CML_FN void add(const Counters& counters, Counters* sum) {
    if (Lanes::lane() != 0) return;
    sum->pairs += counters.pairs;
    sum->active += counters.active;
    sum->impostors += counters.impostors;
    sum->skipped += counters.skipped;
    sum->loss += counters.loss;
}

// Add the counters of a warp to those of the launch, once: all warps add to the same cache line.
CML_FN void report(const Counters& counters, Counters* sum) {
    if (Lanes::lane() != 0) return;
    atomicAdd(as_unsigned(&sum->pairs), static_cast<unsigned long long>(counters.pairs));
    atomicAdd(as_unsigned(&sum->active), static_cast<unsigned long long>(counters.active));
    atomicAdd(as_unsigned(&sum->impostors), static_cast<unsigned long long>(counters.impostors));
    atomicAdd(as_unsigned(&sum->skipped), static_cast<unsigned long long>(counters.skipped));
    atomicAdd(&sum->loss, counters.loss);
}

// A flag is the first sample with a value that was not finite, or INT64_MAX: it is not set.
CML_FN void set_flag(int64_t sample, int64_t* flag) {
    if (sample == INT64_MAX || Lanes::lane() != 0) return;
    atomicMin(as_unsigned(flag), static_cast<unsigned long long>(sample));
}

// Whether a flag is set that other warps may set. One lane reads it, so that all lanes agree.
CML_FN bool is_set(const int64_t* flag) {
    const volatile int64_t* const now = flag;
    return __shfl_sync(kAllLanes, *now != INT64_MAX, 0);
}

// Blocks that a multiprocessor must hold at once. Without this bound ptxas aims for more of them
// and spills registers; 16 warps already keep enough loads in flight.
template <int kChunks>
constexpr int kResidentBlocks = kChunks >= 1 && kChunks <= 5 ? 4 : 3;

}  // namespace CML_TARGET
}  // namespace cml
