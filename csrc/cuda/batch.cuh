// Synchronous mini-batches on a CUDA device. While the workers visit the pairs of a batch they add
// the gradients to sums in device memory, atomically; then the warps share out the rows that have
// one.
#pragma once

#include "../core/tile_updates.h"
#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

// A slot is owned by the first to claim its row; those who come later add to that one.
template <int kChunks>
class BatchSums {
 public:
    CML_FN explicit BatchSums(const CudaLaunch& launch) : job_(launch.job), batch_(launch.batch) {}

    // Add a gradient, whose chunks are gradient(c, part), to those of a row of users or items.
    // `own` is the slot for it if the row has none so far.
    template <class Gradient>
    CML_FN void add(bool is_user, int32_t number, int64_t own, Gradient gradient) const {
        const int64_t slot =
            claim((is_user ? batch_.user_slots : batch_.item_slots) + number, number, own);
        int64_t* const sums = batch_.sums + slot * batch_.stride;
        Chunks<Lanes, kChunks>{job_.hyper.n_dims}.each([&](int c, auto part) {
            Lanes::add_rounded(sums + c * kLanes, gradient(c, part), job_.fixed.scale, part);
        });
    }

    // Update the row that owns this slot, if one does, and free the slot.
    // Returns whether the result was finite.
    CML_FN bool apply(int64_t slot) const {
        const DeviceMemory memory{false};  // only one warp writes to a row
        const int32_t number = batch_.rows[slot] - 1;
        if (number < 0) return true;
        Lanes::sync();  // all lanes have read it
        const bool is_user = is_user_slot(job_.hyper, slot);
        const Table& table = is_user ? job_.users : job_.items;
        if (Lanes::lane() == 0) {
            batch_.rows[slot] = 0;
            (is_user ? batch_.user_slots : batch_.item_slots)[number] = 0;
        }
        float* const row = row_of(table, number);
        int64_t* const sums = batch_.sums + slot * batch_.stride;
        return update_row<Lanes, kChunks>(
            job_.hyper, memory, row, accumulators_of(table, number),
            [&](int c, auto part) { return memory.load(row + c * kLanes, part); },
            [&](int c, auto part) {
                return Lanes::take_sums(sums + c * kLanes, job_.fixed.unit, part);
            });
    }

 private:
    // The slot of a row, `own` if it had none. Zero stands for none, so slots count from 1 there.
    CML_FN int64_t claim(int32_t* owner, int32_t number, int64_t own) const {
        int32_t before = 0;
        if (Lanes::lane() == 0) {
            before = atomicCAS(owner, 0, static_cast<int32_t>(own + 1));
            if (before == 0) batch_.rows[own] = number + 1;
        }
        before = __shfl_sync(0xFFFFFFFFu, before, 0);
        return before == 0 ? own : before - 1;
    }

    const Job& job_;
    const CudaBatch& batch_;
};

}  // namespace CML_TARGET
}  // namespace cml
