// The squads of core/tile.h: warps of a block that compute products with the same columns.
//
// They read the operands of float32 products from shared memory. It has two stages of each: while
// one is multiplied, the next comes from L2 (cp.async; a load and a store before compute capability
// 8.0). Columns are copied by the squad together, for all its warps read them; rows by the warp
// that has them. So only the warps of a squad wait for each other, by a barrier of their own.
#pragma once

#include <cuda_pipeline_primitives.h>

#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

template <bool kStaged>
class Squad {
 public:
    static constexpr int kSteps = kStageSteps;
    static_assert(kStagedRows == kSteps * Lanes::kProductRows);
    static_assert(kStagedColumns == kSteps * Lanes::kProductChunks * kLanes);

    // `shared` has the stages of the block, see tile_bytes().
    CML_FN Squad(int n_columns, float* shared) {
        const int warps = static_cast<int>(blockDim.x) / kLanes;
        const int warp = static_cast<int>(threadIdx.x) / kLanes;
        const int most = most_squads(warps);
        n_squads_ = n_columns < most ? n_columns : most;
        number_ = warp * n_squads_ / warps;
        const int first = groups_of(number_ * warps, n_squads_);
        n_warps_ = groups_of((number_ + 1) * warps, n_squads_) - first;
        warp_ = warp - first;
        columns_ = shared + number_ * 2 * kStagedColumns;
        rows_ = shared + most * 2 * kStagedColumns + warp * 2 * kStagedRows;
    }

    template <class F>
    CML_FN void each(int columns, Share rows, F f) {
        if (columns % n_squads_ != number_) return;
        for (int first = 0; first < rows.count; first += n_warps_) {
            const int i = first + warp_;
            exists_ = i < rows.count;
            if (kStaged || exists_) f(rows.first + i * rows.step);
        }
    }

    CML_FN bool idle() const { return kStaged && !exists_; }

    // Where this lane begins to copy: four floats of rows, and of kChunks chunks of columns.
    template <class Operand>
    CML_FN const float* rows_from(const Operand& rows) const {
        static_assert(kStagedRows == 4 * kLanes, "a lane copies four floats of the rows");
        return rows.template four<Lanes::kProductRows>(lane(), kSteps);
    }
    template <int kChunks>
    CML_FN const float* columns_from(const float* p, int64_t stride, int64_t chunk_stride) const {
        constexpr unsigned kOfChunk = kLanes / 4;
        return p + first_step<kChunks>() * stride + lane() / kOfChunk % kChunks * chunk_stride +
               lane() % kOfChunk * 4;
    }

    // Begin to copy the next stage from there, the steps of the columns being `stride` apart.
    template <int kChunks>
    CML_FN void copy(const float* rows, const float* columns, int64_t stride) {
        if (exists_) copy_four(rows_ + next_ * kStagedRows + 4 * lane(), rows);
        float* to = columns_ + next_ * kStagedColumns + (warp_ * kLanes + lane()) * 4;
        const int at_once = n_warps_ * kStepsOfWarp<kChunks>;
        CML_NO_UNROLL
        for (int step = first_step<kChunks>(); step < kSteps; step += at_once) {
            copy_four(to, columns);
            columns += at_once * stride;
            to += n_warps_ * kLanes * 4;
        }
    }

    // Wait until that stage is there. The one before it has then been multiplied by all.
    CML_FN void next_stage() {
        __pipeline_commit();
        __pipeline_wait_prior(0);
        __barrier_sync_count(static_cast<unsigned>(1 + number_),
                             static_cast<unsigned>(n_warps_ * kLanes));
        next_ ^= 1;
    }

    // What is in it.
    CML_FN const float* columns() const { return columns_ + (next_ ^ 1) * kStagedColumns; }
    template <class Operand>
    CML_FN Operand rows_of(const Operand&) const {
        return Operand::template copied<Lanes::kProductRows>(rows_ + (next_ ^ 1) * kStagedRows,
                                                             kSteps);
    }

 private:
    // Steps of kChunks chunks of columns that a warp copies at once.
    template <int kChunks>
    static constexpr int kStepsOfWarp = 4 / kChunks;
    template <int kChunks>
    CML_FN int first_step() const {
        static_assert(4 % kChunks == 0, "a warp copies whole steps");
        return warp_ * kStepsOfWarp<kChunks> + static_cast<int>(lane() / (kChunks * kLanes / 4));
    }

    static CML_FN unsigned lane() { return static_cast<unsigned>(Lanes::lane()); }
    static CML_FN void copy_four(float* to, const float* from) {
        __pipeline_memcpy_async(to, from, 4 * sizeof(float));
    }

    int n_squads_, number_;  // barrier 0 is that of the block, so that of a squad is number_ + 1
    int n_warps_, warp_;     // in this squad
    bool exists_ = false;    // whether this warp has a row
    float *columns_, *rows_;
    int next_ = 0;  // the stage to be copied, of two
};

}  // namespace CML_TARGET
}  // namespace cml
