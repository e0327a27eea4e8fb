// The training kernels: persistent grids whose workers share out the visits.
//
// A `Worker` is a warp that takes pairs (pairs.cuh) or a block that takes tiles (tiles.cuh).
//
//   kThreads           of a block, at most
//   kBlocks            that a multiprocessor must hold
//   kRowChunks         as in rows.h
//   train(counters)    its part of an asynchronous launch
//   contribute(...)    its part of the gradients of a mini-batch
#pragma once

#include <cooperative_groups.h>

#include "batch.cuh"
#include "grid.cuh"

namespace cml {
inline namespace CML_TARGET {

template <class Worker>
__global__ void __launch_bounds__(Worker::kThreads, Worker::kBlocks)
    async_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    Worker worker(launch, shared_memory);
    Counters counters;
    worker.train(counters);
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

template <class Worker>
CML_FN void contribute(const CudaLaunch& launch, Worker& worker, int64_t first, int64_t last,
                       Counters& counters) {
    worker.contribute(first, last, counters);
    note(counters.first_non_finite, &launch.counters->refused_gradient);
}

template <int kChunks>
CML_FN void apply(const CudaLaunch& launch, int64_t first, int64_t last) {
    const Warp warp = this_warp();
    const BatchSums<kChunks> sums(launch);
    const int64_t n_slots = slots_of_batch(launch.job.hyper, last - first);
    bool finite = true;
    for (int64_t slot = warp.number; slot < n_slots; slot += warp.n_warps) {
        finite &= sums.apply(slot);
    }
    if (!finite) note(first, &launch.counters->first_non_finite);
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
    Worker worker(launch, shared_memory);
    int64_t last;
    for (int64_t first = launch.begin; first < launch.end; first = last) {
        last = end_of_batch(first, launch);
        Counters counters;
        contribute(launch, worker, first, last, counters);
        report(counters, launch.counters);
        grid.sync();
        if (is_set(&launch.counters->refused_gradient)) break;
        apply<Worker::kRowChunks>(launch, first, last);
        grid.sync();
        if (is_set(&launch.counters->first_non_finite)) break;
    }
}

// The same as two kernels, launched in turn. They find in device memory which batch it is, so that
// all launches have the same arguments. Where there is none, or after a failure, they do nothing.

template <class Worker>
__global__ void __launch_bounds__(Worker::kThreads, Worker::kBlocks)
    contribute_kernel(const __grid_constant__ CudaLaunch launch) {
    extern __shared__ int64_t shared_memory[];
    const bool failed = is_set(&launch.counters->first_non_finite);
    const int64_t first = failed ? launch.end : launch.counters->to_contribute;
    if (this_warp().number == 0 && Lanes::lane() == 0) launch.counters->to_apply = first;
    if (first >= launch.end) return;
    Worker worker(launch, shared_memory);
    Counters counters;
    contribute(launch, worker, first, end_of_batch(first, launch), counters);
    report(counters, launch.counters);
}

template <int kChunks>
__global__ void __launch_bounds__(kWarpsPerBlock* kLanes, kResidentBlocks<kChunks>)
    apply_kernel(const __grid_constant__ CudaLaunch launch) {
    const bool failed = is_set(&launch.counters->refused_gradient);
    const int64_t first = failed ? launch.end : launch.counters->to_apply;
    const int64_t last = first < launch.end ? end_of_batch(first, launch) : launch.end;
    if (this_warp().number == 0 && Lanes::lane() == 0) launch.counters->to_contribute = last;
    apply<kChunks>(launch, first, last);
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
