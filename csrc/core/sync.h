// Synchronous mini-batches, the procedure of the paper (section 3.5): all gradients of a batch are
// taken at the parameters it began with and added up per row; then each touched row gets one
// AdaGrad step and one censoring.
//
//   SyncUpdates::take    the pairs of a batch put down what they ask for
//   Batch::add           a pair's gradients are added to the sums of its rows
//   Batch::apply         the sum of a row becomes its update
//
// Each of the three must be over, for all pairs, before the next one begins. The sums are integers
// (see FixedPoint in job.h), so it does not matter who adds what, and when: the result is the same
// bits for any number of workers on any device.
#pragma once

#include "update.h"
#include "walk.h"

namespace cml {
inline namespace CML_TARGET {

// Takes down the pairs of one batch, whose first visit is `first`.
class SyncUpdates {
 public:
    CML_FN SyncUpdates(const BatchMemory& batch, int64_t first)
        : records_(batch.records), largest_(batch.fixed.largest_gradient), first_(first) {}

    CML_FN void chosen(int32_t) const {}

    CML_FN bool take(int64_t visit, const Pair& pair, int32_t negative,
                     const Contribution& c) const {
        const bool fit = negative < 0 || c.gradient_bound <= largest_ * largest_;
        records_[visit - first_] = {pair.user, pair.positive, fit ? negative : -1, 2.0f * c.weight};
        return fit;
    }

 private:
    Record* records_;
    float largest_;
    int64_t first_;
};

// `Memory` also says how workers that touch the same rows agree (see claim and add_rounded).
template <class Lanes, class Memory, int kChunks>
class Batch {
 public:
    CML_FN Batch(const Job& job, Memory memory, const BatchMemory& batch)
        : job_(job), memory_(memory), batch_(batch), chunks_{job.hyper.n_dims} {}

    // Add the gradients of record i to the sums of those rows for which mine(row).
    template <class Mine>
    CML_FN void add(int64_t i, Mine mine) const {
        const Record record = batch_.records[i];
        if (record.negative < 0) return;
        const int32_t numbers[3] = {record.user, record.positive, record.negative};
        const float* const rows[3] = {row_of(job_.users, record.user),
                                      row_of(job_.items, record.positive),
                                      row_of(job_.items, record.negative)};
        const Lanes factor = Lanes::splat(record.factor);
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            if (!mine(numbers[t])) continue;
            int32_t* const slots = t == 0 ? batch_.user_slots : batch_.item_slots;
            const auto own = static_cast<int32_t>(3 * i + t);
            const int32_t slot = memory_.claim(slots + numbers[t], own);
            if (slot == own) batch_.rows[slot] = numbers[t];
            int64_t* const sums = batch_.sums + slot * batch_.stride;
            chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                const Lanes plus = memory_.load(rows[kGradientOf[t].plus] + c * kLanes, part);
                const Lanes minus = memory_.load(rows[kGradientOf[t].minus] + c * kLanes, part);
                memory_.add_rounded(sums + c * kLanes, factor * (plus - minus), batch_.fixed.scale,
                                    part);
            });
        }
    }

    // Update the row that has this slot, if there is one and mine(row), and free the slot.
    // Returns whether the result was finite.
    template <class Mine>
    CML_FN bool apply(int64_t slot, Mine mine) const {
        const int32_t number = batch_.rows[slot];
        if (number < 0 || !mine(number)) return true;
        const bool is_user = slot % 3 == 0;
        const Table& table = is_user ? job_.users : job_.items;
        float* const row = row_of(table, number);
        int64_t* const sums = batch_.sums + slot * batch_.stride;
        batch_.rows[slot] = -1;
        (is_user ? batch_.user_slots : batch_.item_slots)[number] = -1;
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, row, accumulators_of(table, number),
            [&](int c, auto part)
                CML_INLINE_LAMBDA { return memory_.load(row + c * kLanes, part); },
            [&](int c, auto part) CML_INLINE_LAMBDA {
                return Lanes::take_sums(sums + c * kLanes, batch_.fixed.unit, part);
            });
    }

    // What add and apply will need soon.
    CML_FN void fetch_record(int64_t i) const {
        const Record record = batch_.records[i];
        if (record.negative < 0) return;
        chunks_.fetch(row_of(job_.users, record.user));
        chunks_.fetch(row_of(job_.items, record.positive));
        chunks_.fetch(row_of(job_.items, record.negative));
    }
    template <class Mine>
    CML_FN void fetch_slot(int64_t slot, Mine mine) const {
        const int32_t number = batch_.rows[slot];
        if (number < 0 || !mine(number)) return;
        const Table& table = slot % 3 == 0 ? job_.users : job_.items;
        chunks_.fetch(row_of(table, number));
        chunks_.fetch(accumulators_of(table, number));
    }

 private:
    const Job& job_;
    Memory memory_;
    BatchMemory batch_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
