// The training kernel: a persistent grid whose warps take tiles of visits in turn.
#pragma once

#include <cooperative_groups.h>

#include "../core/async.h"
#include "batch.cuh"
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

// The calling warp: its number among all of the grid, and its part of the shared memory.
struct Warp {
    int64_t number, n_warps;
    Scratch scratch;
};

CML_FN Warp this_warp(int64_t stride, int64_t* shared_memory) {
    const int in_block = static_cast<int>(threadIdx.x) / kLanes;
    const int64_t warps_in_block = blockDim.x / kLanes;
    char* const memory = reinterpret_cast<char*>(shared_memory) + in_block * scratch_bytes(stride);
    Pair* const tile = reinterpret_cast<Pair*>(memory);
    float* const distances = reinterpret_cast<float*>(tile + kLanes);
    int32_t* const negatives = reinterpret_cast<int32_t*>(distances + stride);
    Lanes::each(static_cast<int>(stride), [=](int i) { distances[i] = INFINITY; });
    Lanes::sync();
    return {blockIdx.x * warps_in_block + in_block,
            gridDim.x * warps_in_block,
            {tile, distances, negatives, stride}};
}

// Whether a value that other warps write is set. Asked of one lane, so that all agree.
CML_FN bool is_set(const unsigned long long* visit) {
    const volatile unsigned long long* const now = visit;
    return __shfl_sync(0xFFFFFFFFu, *now != INT64_MAX, 0);
}

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    async_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const Warp warp = this_warp(launch.stride, shared_memory);
    using Updates = AsyncUpdates<Lanes, DeviceMemory, kChunks>;
    const DeviceMemory memory{launch.shared};
    Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(launch.job, memory, warp.scratch,
                                                               {launch.job, memory});
    Counters counters;
    for (int64_t from = launch.begin + warp.number * kLanes; from < launch.end;
         from += warp.n_warps * kLanes) {
        if (is_set(&launch.counters->first_non_finite)) break;
        const int64_t to = from + kLanes < launch.end ? from + kLanes : launch.end;
        walk.visit(from, to, counters);
        if (counters.first_non_finite != INT64_MAX) break;
    }
    report(counters, launch.counters);
}

// Several warps may have moved a row at once. Each of their steps ended in the ball, but their sum
// may end outside: this puts all rows back, when the steps are over.
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    censor_kernel(const __grid_constant__ CudaLaunch launch) {
    const Chunks<Lanes, kChunks> chunks{launch.job.hyper.n_dims};
    const DeviceMemory memory{false};
    const int64_t warps_in_block = blockDim.x / kLanes;
    const int64_t first = blockIdx.x * warps_in_block + threadIdx.x / kLanes;
    for (const Table& table : {launch.job.users, launch.job.items}) {
        for (int64_t i = first; i < table.n_rows; i += gridDim.x * warps_in_block) {
            float* const row = row_of(table, i);
            Lanes values[chunks.kRoom];
            Lanes squares = Lanes::splat(0.0f);
            chunks.each([&](int c, auto part) {
                values[c] = memory.load(row + c * kLanes, part);
                squares.add(values[c] * values[c], part);
            });
            store_in_ball<Lanes, kChunks>(
                launch.job.hyper, memory, row, [&](int c, auto) { return values[c]; }, values,
                squares);
        }
    }
}

// Mini-batches, one after another; all warps of the grid run at once (a cooperative launch).
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    sync_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    const Warp warp = this_warp(launch.stride, shared_memory);
    const Job& job = launch.job;
    const DeviceMemory memory{false};  // in either half of a batch, only one warp writes to a row
    using Updates = ScatterUpdates<kChunks>;
    Counters counters;
    int64_t last;
    for (int64_t first = launch.begin; first < launch.end; first = last) {
        last = batch_end(first, launch.end, job.batch_size, job.likes.n_pairs);
        const int64_t share = (last - first + warp.n_warps - 1) / warp.n_warps;
        const int64_t from = first + warp.number * share;
        if (from < last) {
            Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(
                job, memory, warp.scratch, {job, memory, launch.batch, first});
            walk.visit(from, from + share < last ? from + share : last, counters);
        }
        // A flag is written in one half of a batch and read in the other one.
        if (counters.first_non_finite != INT64_MAX && Lanes::lane() == 0) {
            atomicMin(&launch.counters->refused_gradient,
                      static_cast<unsigned long long>(counters.first_non_finite));
        }
        grid.sync();
        if (is_set(&launch.counters->refused_gradient)) break;
        bool finite = true;
        for (int64_t slot = warp.number; slot < 3 * (last - first); slot += warp.n_warps) {
            finite &= apply_slot<kChunks>(job, memory, launch.batch, slot);
        }
        if (!finite && Lanes::lane() == 0) {
            atomicMin(&launch.counters->first_non_finite, static_cast<unsigned long long>(first));
        }
        grid.sync();
        if (is_set(&launch.counters->first_non_finite)) break;
    }
    report(counters, launch.counters);
}

}  // namespace CML_TARGET
}  // namespace cml
