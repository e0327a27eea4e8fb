// A mini-batch on CPU threads. Every row belongs to one worker, so nothing is atomic. The worker
// gathers the records that touch a row, adds their gradients in registers, and sets the new vector
// aside: the old one is still needed for the gradients of other rows.
#pragma once

#include "../core/sync.h"
#include "kernel.h"
#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

template <class Memory, int kChunks>
class Batch {
 public:
    // The batch whose first n records are ready; all rows of this worker.
    CML_FN Batch(const Job& job, Memory memory, const BatchMemory& batch, int64_t n, int worker,
                 int n_workers)
        : job_(job),
          memory_(memory),
          batch_(batch),
          n_slots_(3 * n),
          worker_(static_cast<uint32_t>(worker)),
          n_workers_(static_cast<uint32_t>(n_workers)),
          chunks_{job.hyper.n_dims} {}

    // List the records of each row, make its step and set the result aside.
    // Returns whether all were finite.
    CML_FN bool gather() const {
        for (int64_t slot = 0; slot < n_slots_; ++slot) {
            if (!mine(slot)) continue;
            int32_t& last = last_slot(slot);
            batch_.earlier[slot] = last;
            batch_.first[slot] = last < 0;
            last = static_cast<int32_t>(slot);
        }
        bool finite = true;
        for (int64_t slot = 0; slot < n_slots_; ++slot) {
            if (slot + kFetchAhead < n_slots_) fetch(slot + kFetchAhead);
            if (mine(slot) && batch_.first[slot] && !step(slot)) {
                batch_.first[slot] = false;  // so that nothing is stored
                finite = false;
            }
        }
        return finite;
    }

    // When all workers have gathered: put the new vectors in place.
    CML_FN void store() const {
        for (int64_t slot = 0; slot < n_slots_; ++slot) {
            if (!mine(slot)) continue;
            last_slot(slot) = -1;
            if (!batch_.first[slot]) continue;
            const float* from = batch_.vectors + slot * batch_.stride;
            float* to = row_of(table(slot), number(slot));
            chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::load(from + c * kLanes, part).store(to + c * kLanes, part);
            });
        }
    }

 private:
    static constexpr int kFetchAhead = 6;  // slots, a multiple of 3

    using Gradient = RecordGradient<Lanes, Memory>;

    CML_FN Gradient gradient(int64_t slot) const {
        return Gradient(job_, memory_, batch_.records[slot / 3], static_cast<int>(slot % 3));
    }

    CML_FN bool step(int64_t slot) const {
        const float* const vector = row_of(table(slot), number(slot));
        const int32_t last = last_slot(slot);
        const Gradient last_gradient = gradient(last);  // nearly always the only one
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, batch_.vectors + slot * batch_.stride,
            accumulators_of(table(slot), number(slot)),
            [&](int c, auto part)
                CML_INLINE_LAMBDA { return memory_.load(vector + c * kLanes, part); },
            [&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::Sums sums{};
                sums.add(last_gradient(c, part), job_.fixed.scale, part);
                for (int32_t s = batch_.earlier[last]; s >= 0; s = batch_.earlier[s]) {
                    sums.add(gradient(s)(c, part), job_.fixed.scale, part);
                }
                return sums.times(job_.fixed.unit, part);
            });
    }

    CML_FN void fetch(int64_t slot) const {
        const Record& record = batch_.records[slot / 3];
        if (record.negative < 0) return;
        if (slot % 3 == 0) {
            chunks_.fetch(row_of(job_.users, record.user));
            chunks_.fetch(row_of(job_.items, record.positive));
            chunks_.fetch(row_of(job_.items, record.negative));
        }
        if (mine(slot)) chunks_.fetch(accumulators_of(table(slot), number(slot)));
    }

    // Whether there is a row in this slot, and it is this worker's.
    CML_FN bool mine(int64_t slot) const {
        return batch_.records[slot / 3].negative >= 0 &&
               static_cast<uint32_t>(number(slot)) % n_workers_ == worker_;
    }

    CML_FN int32_t number(int64_t slot) const {
        const Record& record = batch_.records[slot / 3];
        return slot % 3 == 0 ? record.user : slot % 3 == 1 ? record.positive : record.negative;
    }

    CML_FN const Table& table(int64_t slot) const {
        return slot % 3 == 0 ? job_.users : job_.items;
    }

    CML_FN int32_t& last_slot(int64_t slot) const {
        return (slot % 3 == 0 ? batch_.last_user_slot : batch_.last_item_slot)[number(slot)];
    }

    const Job& job_;
    Memory memory_;
    BatchMemory batch_;
    int64_t n_slots_;
    uint32_t worker_, n_workers_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
