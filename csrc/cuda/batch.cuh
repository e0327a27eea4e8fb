// Synchronous mini-batches on a CUDA device. While the warps visit the pairs of a batch they add
// the gradients to sums in device memory, atomically; then they share out the rows that have one.
#pragma once

#include "../core/sync.h"
#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

// Pair i of a batch may own the slots 3 i, 3 i + 1 and 3 i + 2 for its user, its positive and its
// negative. The first to claim a row owns its slot, those who come later add to that one.
template <int kChunks>
class ScatterUpdates {
 public:
    // `first`: the first visit of the batch.
    CML_FN ScatterUpdates(const Job& job, DeviceMemory memory, const CudaBatch& batch,
                          int64_t first)
        : job_(job), memory_(memory), batch_(batch), first_(first), chunks_{job.hyper.n_dims} {}

    CML_FN void coming(const Pair&) const {}
    CML_FN void chosen(int32_t) const {}

    CML_FN bool take(int64_t visit, const Pair& pair, int32_t negative,
                     const Contribution& c) const {
        if (negative < 0) return true;
        if (!is_fit(job_, c)) return false;
        const Record record{pair.user, pair.positive, negative, 2.0f * c.weight};
        const int32_t numbers[3] = {record.user, record.positive, record.negative};
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            const int64_t slot = claim(numbers[t], 3 * (visit - first_) + t);
            int64_t* const sums = batch_.sums + slot * batch_.stride;
            const RecordGradient<Lanes, DeviceMemory> gradient(job_, memory_, record, t);
            chunks_.each([&](int chunk, auto part) {
                Lanes::add_rounded(sums + chunk * kLanes, gradient(chunk, part), job_.fixed.scale,
                                   part);
            });
        }
        return true;
    }

 private:
    // The slot of a row, `own` if it had none. Zero stands for none, so slots count from 1 there.
    CML_FN int64_t claim(int32_t number, int64_t own) const {
        int32_t* const owner = (own % 3 == 0 ? batch_.user_slots : batch_.item_slots) + number;
        int32_t before = 0;
        if (Lanes::lane() == 0) {
            before = atomicCAS(owner, 0, static_cast<int32_t>(own + 1));
            if (before == 0) batch_.rows[own] = number + 1;
        }
        before = __shfl_sync(0xFFFFFFFFu, before, 0);
        return before == 0 ? own : before - 1;
    }

    const Job& job_;
    DeviceMemory memory_;
    const CudaBatch& batch_;
    int64_t first_;
    Chunks<Lanes, kChunks> chunks_;
};

// Update the row that owns this slot, if one does, and free the slot.
// Returns whether the result was finite.
template <int kChunks>
CML_FN bool apply_slot(const Job& job, DeviceMemory memory, const CudaBatch& batch, int64_t slot) {
    const int32_t number = batch.rows[slot] - 1;
    if (number < 0) return true;
    Lanes::sync();  // all lanes have read it
    const bool is_user = slot % 3 == 0;
    const Table& table = is_user ? job.users : job.items;
    if (Lanes::lane() == 0) {
        batch.rows[slot] = 0;
        (is_user ? batch.user_slots : batch.item_slots)[number] = 0;
    }
    float* const row = row_of(table, number);
    int64_t* const sums = batch.sums + slot * batch.stride;
    return update_row<Lanes, kChunks>(
        job.hyper, memory, row, accumulators_of(table, number),
        [&](int c, auto part) { return memory.load(row + c * kLanes, part); },
        [&](int c, auto part) {
            return Lanes::take_sums(sums + c * kLanes, job.fixed.unit, part);
        });
}

}  // namespace CML_TARGET
}  // namespace cml
