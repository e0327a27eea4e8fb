// The training kernels: persistent grids whose workers divide the samples between them.
//
// A `Worker` is a warp that works on pairs (pairs.cuh), or a block or several that work on tiles
// (tiles.cuh).
//
//   kThreads           the largest number of threads of a block
//   kBlocks            the number of blocks that a multiprocessor must hold
//   kRowChunks         the number of chunks of a row, see core/rows.h
//   train(counters)    does its part of an asynchronous launch
//   accumulate(...)    adds up its part of the gradients of a mini-batch
#pragma once

#include <cooperative_groups.h>

#include "gradient_sums.cuh"
#include "grid.cuh"

namespace cml {
inline namespace CML_TARGET {

template <class Worker>
__global__ void __launch_bounds__(Worker::kThreads, Worker::kBlocks)
    async_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    Worker worker(launch, after_counters(shared_memory));
    Counters counters;
    worker.train(counters);
    set_flag(counters.first_non_finite, &launch.counters->sums.first_non_finite);
    report(counters, &launch.counters->sums);
}

// Several warps may have changed a row at once. Each of their steps was projected onto the norm
// ball, but the sum of the steps may be outside: this kernel projects all rows when training is
// over.
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    project_kernel(const __grid_constant__ CudaLaunch launch) {
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
            store_projected<Lanes, kChunks>(
                launch.job.hyper, memory, row, [&](int c, auto) { return values[c]; }, values,
                squares);
        }
    }
}

// The two halves of the mini-batch [first, last). Each flag is written in one half and read in the
// other one, so that all warps agree.

template <class Worker>
CML_FN void accumulate(const CudaLaunch& launch, Worker& worker, int64_t first, int64_t last,
                       Counters& counters) {
    worker.accumulate(first, last, counters);
    set_flag(counters.first_non_finite, &launch.counters->refused_gradient);
}

template <int kChunks>
CML_FN void apply(const CudaLaunch& launch, int64_t first, int64_t last) {
    const GradientSums<kChunks> sums(launch);
    bool finite = true;
    each_looked_up(
        this_warp(), sums.count_slots(last - first), [&](int64_t slot) { return sums.take(slot); },
        [&](int64_t slot, int64_t row) { finite &= sums.apply(slot, row); });
    if (!finite) set_flag(first, &launch.counters->sums.first_non_finite);
}

CML_FN int64_t end_of_batch(int64_t first, const CudaLaunch& launch) {
    return batch_end(first, launch.end, launch.job.batch_size, launch.job.likes.n_pairs);
}

// Mini-batches, one after another; all warps of the grid run at once (a cooperative launch).
template <class Worker>
__global__ void __launch_bounds__(Worker::kThreads, Worker::kBlocks)
    sync_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    Worker worker(launch, after_counters(shared_memory));
    clear(counters_in(shared_memory));
    int64_t last;
    for (int64_t first = launch.begin; first < launch.end; first = last) {
        last = end_of_batch(first, launch);
        Counters counters;
        accumulate(launch, worker, first, last, counters);
        add(counters, counters_in(shared_memory));
        grid.sync();
        if (is_set(&launch.counters->refused_gradient)) break;
        apply<Worker::kRowChunks>(launch, first, last);
        grid.sync();
        if (is_set(&launch.counters->sums.first_non_finite)) break;
    }
    report(*counters_in(shared_memory), &launch.counters->sums);
}

// The same as two kernels, launched in turn. They read from device memory which batch is next, so
// that all launches have the same arguments. They do nothing if there is no batch left, or after a
// failure.

template <class Worker>
__global__ void __launch_bounds__(Worker::kThreads, Worker::kBlocks)
    accumulate_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const bool failed = is_set(&launch.counters->sums.first_non_finite);
    const int64_t first = failed ? launch.end : launch.counters->to_accumulate;
    if (this_warp().number == 0 && Lanes::lane() == 0) launch.counters->to_apply = first;
    if (first >= launch.end) return;
    Worker worker(launch, after_counters(shared_memory));
    Counters counters;
    accumulate(launch, worker, first, end_of_batch(first, launch), counters);
    report(counters, &launch.counters->sums);
}

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    apply_kernel(const __grid_constant__ CudaLaunch launch) {
    const bool failed = is_set(&launch.counters->refused_gradient);
    const int64_t first = failed ? launch.end : launch.counters->to_apply;
    const int64_t last = first < launch.end ? end_of_batch(first, launch) : launch.end;
    if (this_warp().number == 0 && Lanes::lane() == 0) launch.counters->to_accumulate = last;
    if (first < last) apply<kChunks>(launch, first, last);
}

// Steps along gradients that were computed elsewhere; the warps divide the rows between them.
template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    step_kernel(const __grid_constant__ CudaStep step) {
    const Warp warp = this_warp();
    const DeviceMemory memory{false};
    for (int64_t i = warp.number; i < step.gradients.n; i += warp.n_warps) {
        if (!step_row<Lanes, kChunks>(step.hyper, memory, step.gradients, i)) {
            set_flag(i, &step.counters->sums.first_non_finite);
        }
    }
}

}  // namespace CML_TARGET
}  // namespace cml
