// The training kernel: a persistent grid whose warps take tiles of visits in turn.
#pragma once

#include "../core/async.h"
#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

static_assert(sizeof(Pair) == kPairBytes, "the host sizes the shared memory");

CML_FN void report(const Counters& counters, DeviceCounters* sum) {
    if (Lanes::lane() != 0) return;  // every lane counted the same
    atomicAdd(&sum->pairs, static_cast<unsigned long long>(counters.pairs));
    atomicAdd(&sum->active, static_cast<unsigned long long>(counters.active));
    atomicAdd(&sum->impostors, static_cast<unsigned long long>(counters.impostors));
    atomicAdd(&sum->skipped, static_cast<unsigned long long>(counters.skipped));
    atomicAdd(&sum->loss, counters.loss);
    atomicMin(&sum->first_non_finite, static_cast<unsigned long long>(counters.first_non_finite));
}

// Blocks that a multiprocessor must hold at once. Left alone, ptxas aims for more of them and
// spills; 16 warps already keep enough loads in flight.
template <int kChunks>
constexpr int kResidentBlocks = kChunks >= 1 && kChunks <= 5 ? 4 : 3;

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    train_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const int warp_in_block = static_cast<int>(threadIdx.x) / kLanes;
    const int warps_in_block = static_cast<int>(blockDim.x) / kLanes;
    char* const memory =
        reinterpret_cast<char*>(shared_memory) + warp_in_block * scratch_bytes(launch.stride);
    Pair* const tile = reinterpret_cast<Pair*>(memory);
    float* const distances = reinterpret_cast<float*>(tile + kLanes);
    int32_t* const negatives = reinterpret_cast<int32_t*>(distances + launch.stride);
    Lanes::each(static_cast<int>(launch.stride), [=](int i) { distances[i] = INFINITY; });
    Lanes::sync();
    const Scratch scratch{tile, distances, negatives, launch.stride};

    using Updates = AsyncUpdates<Lanes, DeviceMemory, kChunks>;
    const DeviceMemory memory{launch.shared};
    Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(launch.job, memory, scratch,
                                                               {launch.job, memory});
    Counters counters;
    const int64_t n_warps = int64_t{gridDim.x} * warps_in_block;
    const int64_t warp = int64_t{blockIdx.x} * warps_in_block + warp_in_block;
    const volatile unsigned long long* const failed = &launch.counters->first_non_finite;
    for (int64_t from = launch.begin + warp * kLanes; from < launch.end; from += n_warps * kLanes) {
        // Asked of one lane, so that all of them leave or none does.
        if (__shfl_sync(0xFFFFFFFFu, *failed != INT64_MAX, 0)) break;
        const int64_t to = from + kLanes < launch.end ? from + kLanes : launch.end;
        walk.visit(from, to, counters);
        if (counters.first_non_finite != INT64_MAX) break;
    }
    report(counters, launch.counters);
}

}  // namespace CML_TARGET
}  // namespace cml
