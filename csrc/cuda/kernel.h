// The training kernels: kernel.cu is compiled once for each number of 32-element chunks in a row,
// and has kernels for each loss. Also their arguments, which the host fills in.
#pragma once

#include "../core/job.h"
#include "../core/workspace.h"

namespace cml {

constexpr int kWarpsPerBlock = 4;
constexpr int kTileWarps = 8;       // of a block that works on tiles
constexpr int64_t kPairBytes = 32;  // sizeof(Pair), see core/draw.h

// Counters in device memory.
struct DeviceCounters {
    Counters sums;             // first_non_finite: a sample, or the first one of a mini-batch
    int64_t refused_gradient;  // the first sample of a mini-batch whose gradient was refused
    // The first samples of the mini-batch whose gradients are accumulated next, and of the one that
    // is applied next. Used only if each half of a batch is a kernel of its own: each half sets the
    // number of the other one.
    int64_t to_accumulate, to_apply;
    int64_t votes[2];  // of asynchronous training, where several blocks share a tile: see tiles.cuh
};

// Memory of mini-batches, see gradient_sums.cuh; all zero before the first one and after each.
// core/workspace.h says what its slots are.
struct CudaMinibatch {
    int32_t* user_slots;  // of each row of users, 1 + its slot; unused where slots are rows
    int32_t* item_slots;
    int32_t* rows;  // of each slot, 1 + its row
    int64_t* sums;  // of each slot, the sum of its gradients: `stride` integers
    int64_t stride;
    // Whether every row has a slot of its own, users first: so it is where a batch could have more
    // slots than there are rows.
    bool slots_are_rows;
};

// Arguments of every kernel.
struct CudaLaunch {
    Job job;  // device pointers
    int64_t begin, end;
    bool shared;     // whether several warps are in flight
    int64_t stride;  // of a warp's Scratch, a multiple of 32
    DeviceCounters* counters;
    CudaMinibatch batch;
    // For tiles: a workspace of workspace_floats() for each team, see tiles.cuh.
    int64_t n_teams;
    float* workspaces;
};

// Arguments of the kernel `step`.
struct CudaStep {
    Hyperparameters hyper;
    RowGradients gradients;
    DeviceCounters* counters;  // first_non_finite: a position among the gradients
};

// Bytes of shared memory that a warp counts in, see grid.cuh.
constexpr int64_t kCounterBytes = sizeof(Counters);

// Bytes of shared memory that a warp's Scratch takes: a pair block, the distances of one pair's
// negatives, and the negatives of two.
constexpr int64_t scratch_bytes(int64_t stride) {
    constexpr int64_t kFloat = sizeof(float), kInt32 = sizeof(int32_t);
    return kLanes * kPairBytes + stride * kFloat + 2 * stride * kInt32;
}

// Of float32 products, whose operands come through shared memory, see squad.cuh: the steps of a
// stage, and its floats: two chunks of columns for a squad, and eight rows for a warp.
constexpr int kStageSteps = 16;
constexpr int kStagedColumns = kStageSteps * 2 * kLanes;
constexpr int kStagedRows = kStageSteps * 8;

constexpr int most_squads(int warps) {
    return warps < 4 ? warps : 4;
}

// Of the table that finds slots of the same row, see row_table.cuh. For each slot: a key, the next
// slot, and its entries.
constexpr int64_t kEntriesOfSlot = 2;
constexpr int64_t table_bytes(int64_t n_slots) {
    return n_slots * (2 + kEntriesOfSlot) * int64_t{sizeof(int32_t)};
}

// Bytes of shared memory of a block that works on tiles: for counters, and for the stages of
// products or, when these are over, the table of a mini-batch. The stages of 8 warps are 40 KiB, so
// that all is less than what every device offers without asking for more; a table is at most half
// of that.
constexpr int64_t tile_bytes(int warps, const Job& job) {
    constexpr int64_t kStages = 2, kFloat = sizeof(float);
    const int64_t floats = most_squads(warps) * kStagedColumns + warps * kStagedRows;
    const int64_t stages = job.hyper.bfloat16 ? 0 : kStages * floats * kFloat;
    const int64_t table = job.batch_size > 0 ? table_bytes(tile_slots(job.hyper)) : 0;
    return warps * kCounterBytes + (stages > table ? stages : table);
}

// The kernels for a loss, rows of this many chunks (0: any number), and products of bfloat16 or of
// float32.
struct CudaKernels {
    const void* async;
    const void* project;     // follows `async` if several warps were in flight
    const void* sync;        // all mini-batches of a launch; must be launched cooperatively
    const void* accumulate;  // the two halves of a single mini-batch
    const void* apply;
    const void* step;  // takes a CudaStep
};
CudaKernels cuda_kernels_0(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_1(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_2(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_3(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_4(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_5(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_6(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_7(Loss loss, bool bfloat16);
CudaKernels cuda_kernels_8(Loss loss, bool bfloat16);

}  // namespace cml
