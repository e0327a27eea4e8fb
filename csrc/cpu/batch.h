// A mini-batch on CPU threads. The records that touch a row form a list, to which workers add
// theirs as they visit pairs. When all pairs have been visited, whoever added the last one looks
// after the row. Most rows of a batch are touched once: so most of them stay with the worker whose
// caches hold them.
#pragma once

#include "../core/sync.h"
#include "kernel.h"
#include "lanes.h"
#include "row_lists.h"

namespace cml {
inline namespace CML_TARGET {

template <class Memory, int kChunks>
class Batch {
 public:
    CML_FN Batch(const Job& job, Memory memory, const BatchMemory& batch)
        : job_(job), memory_(memory), batch_(batch), chunks_{job.hyper.n_dims} {}

    // Note what a pair asks for, the i-th of the batch; negative -1: nothing.
    CML_FN void add(int64_t i, const Record& record) const {
        batch_.records[i] = record;
        if (record.negative < 0) return;
        for (int64_t slot = 3 * i; slot < 3 * i + 3; ++slot) {
            batch_.earlier[slot] = append(list(slot), static_cast<int32_t>(slot));
        }
    }

    // Rows whose lists will soon get longer.
    CML_FN void expect_user(int32_t user) const {
        __builtin_prefetch(batch_.last_user_slot + user, 1, 2);
    }
    CML_FN void expect_item(int32_t item) const {
        __builtin_prefetch(batch_.last_item_slot + item, 1, 2);
    }

    // When all workers have added their records: make the steps that these records decide on.
    // Where no other record touches their three rows, the new vectors are put in place. Else they
    // are set aside, for the old ones are needed by other gradients. Returns whether all were
    // finite.
    CML_FN bool gather(int64_t begin, int64_t end) const {
        bool finite = true;
        for (int64_t i = begin; i < end; ++i) {
            if (i + kFetchAhead < end) fetch(i + kFetchAhead);
            if (batch_.records[i].negative < 0) continue;
            if (is_alone(i)) {
                finite &= step_in_place(i);
            } else {
                for (int64_t slot = 3 * i; slot < 3 * i + 3; ++slot) {
                    if (ends_list(slot)) finite &= step_aside(slot);
                }
            }
        }
        return finite;
    }

    // When all workers have gathered: put the vectors in place that were set aside.
    CML_FN void store(int64_t begin, int64_t end) const {
        for (int64_t slot = 3 * begin; slot < 3 * end; ++slot) {
            if (batch_.records[slot / 3].negative < 0 || !ends_list(slot)) continue;
            clear(list(slot));
            const float* from = aside(slot);
            float* to = row_of(table(slot), number(slot));
            chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::load(from + c * kLanes, part).store(to + c * kLanes, part);
            });
        }
    }

 private:
    static constexpr int kFetchAhead = 2;  // records

    // Whether no other record touches any of a record's rows.
    CML_FN bool is_alone(int64_t i) const {
        bool alone = true;
        for (int64_t slot = 3 * i; slot < 3 * i + 3; ++slot) {
            alone &= ends_list(slot) && batch_.earlier[slot] < 0;
        }
        return alone;
    }

    CML_FN bool step_in_place(int64_t i) const {
        const Record record = batch_.records[i];
        batch_.records[i].negative = -1;  // nothing is left to store
        batch_.last_user_slot[record.user] = -1;
        batch_.last_item_slot[record.positive] = -1;
        batch_.last_item_slot[record.negative] = -1;
        return update_rows<Lanes, kChunks>(job_, memory_, record,
                                           [&](const Lanes& gradient, auto part) CML_INLINE_LAMBDA {
                                               Lanes::Sums sums{};
                                               sums.add(gradient, job_.fixed.scale, part);
                                               return sums.times(job_.fixed.unit, part);
                                           });
    }

    CML_FN bool step_aside(int64_t slot) const {
        const float* const vector = row_of(table(slot), number(slot));
        const Gradient last_gradient = gradient(slot);
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, aside(slot), accumulators_of(table(slot), number(slot)),
            [&](int c, auto part)
                CML_INLINE_LAMBDA { return memory_.load(vector + c * kLanes, part); },
            [&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::Sums sums{};
                sums.add(last_gradient(c, part), job_.fixed.scale, part);
                for (int32_t s = batch_.earlier[slot]; s >= 0; s = batch_.earlier[s]) {
                    sums.add(gradient(s)(c, part), job_.fixed.scale, part);
                }
                return sums.times(job_.fixed.unit, part);
            });
    }

    CML_FN void fetch(int64_t i) const {
        const Record& record = batch_.records[i];
        if (record.negative < 0) return;
        chunks_.fetch(row_of(job_.users, record.user));
        chunks_.fetch(row_of(job_.items, record.positive));
        chunks_.fetch(row_of(job_.items, record.negative));
        fetch_accumulators(chunks_, job_.users, record.user);
        fetch_accumulators(chunks_, job_.items, record.positive);
        fetch_accumulators(chunks_, job_.items, record.negative);
    }

    using Gradient = RecordGradient<Lanes, Memory>;

    CML_FN Gradient gradient(int64_t slot) const {
        return Gradient(job_, memory_, batch_.records[slot / 3], static_cast<int>(slot % 3));
    }

    CML_FN float* aside(int64_t slot) const { return batch_.vectors + slot * batch_.stride; }

    // The row of a slot: its number, and in which table.
    CML_FN int32_t number(int64_t slot) const {
        const Record& record = batch_.records[slot / 3];
        return slot % 3 == 0 ? record.user : slot % 3 == 1 ? record.positive : record.negative;
    }

    CML_FN const Table& table(int64_t slot) const {
        return slot % 3 == 0 ? job_.users : job_.items;
    }

    // The list of a slot's row.
    CML_FN int32_t& list(int64_t slot) const {
        return (slot % 3 == 0 ? batch_.last_user_slot : batch_.last_item_slot)[number(slot)];
    }

    CML_FN bool ends_list(int64_t slot) const {
        return is_last(list(slot), static_cast<int32_t>(slot));
    }

    const Job& job_;
    Memory memory_;
    BatchMemory batch_;
    Chunks<Lanes, kChunks> chunks_;
};

// Takes down the pairs of the batch whose first visit is `first`.
template <class Memory, int kChunks>
class RecordUpdates {
 public:
    CML_FN RecordUpdates(const Job& job, const Batch<Memory, kChunks>& batch, int64_t first)
        : job_(job), batch_(batch), first_(first) {}

    CML_FN void coming(const Pair& pair) const {
        batch_.expect_user(pair.user);
        batch_.expect_item(pair.positive);
    }

    CML_FN void chosen(int32_t negative) const { batch_.expect_item(negative); }

    CML_FN bool take(int64_t visit, const Pair& pair, int32_t negative,
                     const Contribution& c) const {
        const bool fit = negative < 0 || is_fit(job_, c);
        batch_.add(visit - first_,
                   {pair.user, pair.positive, fit ? negative : -1, 2.0f * c.weight});
        return fit;
    }

 private:
    const Job& job_;
    const Batch<Memory, kChunks>& batch_;
    int64_t first_;
};

}  // namespace CML_TARGET
}  // namespace cml
