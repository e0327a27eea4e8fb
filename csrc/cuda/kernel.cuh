// The training kernels: persistent grids whose warps share out the visits.
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

// The calling warp among all of the grid.
struct Warp {
    int64_t number, n_warps;
};

CML_FN Warp this_warp() {
    const int64_t warps_in_block = blockDim.x / kLanes;
    return {blockIdx.x * warps_in_block + threadIdx.x / kLanes, gridDim.x * warps_in_block};
}

// The calling warp's part of its block's shared memory.
CML_FN Scratch this_scratch(int64_t stride, int64_t* shared_memory) {
    const int in_block = static_cast<int>(threadIdx.x) / kLanes;
    char* const memory = reinterpret_cast<char*>(shared_memory) + in_block * scratch_bytes(stride);
    Pair* const tile = reinterpret_cast<Pair*>(memory);
    float* const distances = reinterpret_cast<float*>(tile + kLanes);
    int32_t* const negatives = reinterpret_cast<int32_t*>(distances + stride);
    Lanes::each(static_cast<int>(stride), [=](int i) { distances[i] = INFINITY; });
    Lanes::sync();
    return {tile, distances, negatives, stride};
}

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    async_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const Warp warp = this_warp();
    using Updates = AsyncUpdates<Lanes, DeviceMemory, kChunks>;
    const DeviceMemory memory{launch.shared};
    Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(
        launch.job, memory, this_scratch(launch.stride, shared_memory), {launch.job, memory});
    Counters counters;
    for (int64_t from = launch.begin + warp.number * kLanes; from < launch.end;
         from += warp.n_warps * kLanes) {
        if (is_set(&launch.counters->first_non_finite)) break;
        const int64_t to = from + kLanes < launch.end ? from + kLanes : launch.end;
        walk.visit(from, to, counters);
        if (counters.first_non_finite != INT64_MAX) break;
    }
    note(counters.first_non_finite, &launch.counters->first_non_finite);
    report(counters, launch.counters);
}

// Several warps may have moved a row at once. Each of their steps ended in the ball, but their sum
// may end outside: this puts all rows back, when the steps are over.
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    censor_kernel(const __grid_constant__ CudaLaunch launch) {
    const Chunks<Lanes, kChunks> chunks{launch.job.hyper.n_dims};
    const DeviceMemory memory{false};
    const Warp warp = this_warp();
    for (const Table& table : {launch.job.users, launch.job.items}) {
        for (int64_t i = warp.number; i < table.n_rows; i += warp.n_warps) {
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

// The two halves of the mini-batch [first, last). A flag is written in one of them and read in the
// other one, so that all warps agree.

template <int kChunks>
CML_FN void contribute(const CudaLaunch& launch, const Warp& warp, const Scratch& scratch,
                       int64_t first, int64_t last, Counters& counters) {
    const int64_t share = (last - first + warp.n_warps - 1) / warp.n_warps;
    const int64_t from = first + warp.number * share;
    if (from >= last) return;
    const DeviceMemory memory{false};  // nothing is written to tables
    using Updates = ScatterUpdates<kChunks>;
    Walk<Lanes, DeviceMemory, WarpLoss, kChunks, Updates> walk(
        launch.job, memory, scratch, {launch.job, memory, launch.batch, first});
    walk.visit(from, from + share < last ? from + share : last, counters);
    note(counters.first_non_finite, &launch.counters->refused_gradient);
}

template <int kChunks>
CML_FN void apply(const CudaLaunch& launch, const Warp& warp, int64_t first, int64_t last) {
    const DeviceMemory memory{false};  // only one warp writes to a row
    bool finite = true;
    for (int64_t slot = warp.number; slot < 3 * (last - first); slot += warp.n_warps) {
        finite &= apply_slot<kChunks>(launch.job, memory, launch.batch, slot);
    }
    if (!finite) note(first, &launch.counters->first_non_finite);
}

CML_FN int64_t end_of_batch(int64_t first, const CudaLaunch& launch) {
    return batch_end(first, launch.end, launch.job.batch_size, launch.job.likes.n_pairs);
}

// Mini-batches, one after another; all warps of the grid run at once (a cooperative launch).
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    sync_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    const Warp warp = this_warp();
    const Scratch scratch = this_scratch(launch.stride, shared_memory);
    Counters counters;
    int64_t last;
    for (int64_t first = launch.begin; first < launch.end; first = last) {
        last = end_of_batch(first, launch);
        contribute<kChunks>(launch, warp, scratch, first, last, counters);
        grid.sync();
        if (is_set(&launch.counters->refused_gradient)) break;
        apply<kChunks>(launch, warp, first, last);
        grid.sync();
        if (is_set(&launch.counters->first_non_finite)) break;
    }
    report(counters, launch.counters);
}

// The same as two kernels, launched in turn. They find in device memory which batch it is, so that
// all launches have the same arguments. Where there is none, or after a failure, they do nothing.

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    contribute_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const Warp warp = this_warp();
    const bool failed = is_set(&launch.counters->first_non_finite);
    const int64_t first = failed ? launch.end : launch.counters->to_contribute;
    if (warp.number == 0 && Lanes::lane() == 0) launch.counters->to_apply = first;
    if (first >= launch.end) return;
    Counters counters;
    contribute<kChunks>(launch, warp, this_scratch(launch.stride, shared_memory), first,
                        end_of_batch(first, launch), counters);
    report(counters, launch.counters);
}

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    apply_kernel(const __grid_constant__ CudaLaunch launch) {
    const Warp warp = this_warp();
    const bool failed = is_set(&launch.counters->refused_gradient);
    const int64_t first = failed ? launch.end : launch.counters->to_apply;
    const int64_t last = first < launch.end ? end_of_batch(first, launch) : launch.end;
    if (warp.number == 0 && Lanes::lane() == 0) launch.counters->to_contribute = last;
    apply<kChunks>(launch, warp, first, last);
}

// Steps along gradients that come from elsewhere; the warps share out the rows.
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    step_kernel(const __grid_constant__ CudaStep step) {
    const Warp warp = this_warp();
    const DeviceMemory memory{false};
    for (int64_t i = warp.number; i < step.gradients.n; i += warp.n_warps) {
        if (!step_row<Lanes, kChunks>(step.hyper, memory, step.gradients, i)) {
            note(i, &step.counters->first_non_finite);
        }
    }
}

}  // namespace CML_TARGET
}  // namespace cml
