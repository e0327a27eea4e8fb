// A mini-batch of tiles on CPU threads, for losses with shared negatives. Every tile stores its
// gradients, and the slots of the same row form a list. When all tiles are done, the worker that
// appended the last slot of a row adds up the gradients of its list and updates the row.
#pragma once

#include "../core/tile_updates.h"
#include "kernel.h"
#include "lanes.h"
#include "negatives.h"
#include "row_lists.h"

namespace cml {
inline namespace CML_TARGET {

template <class Memory, class Team, int kChunks>
class TileMinibatch {
 public:
    CML_FN TileMinibatch(const Job& job, Memory memory, const MinibatchMemory& batch)
        : job_(job), memory_(memory), batch_(batch), chunks_{job.hyper.n_dims} {}

    // Compute and store the gradients of a tile, which has been drawn, in the batch that begins
    // with `first`. Then draw the upcoming one.
    CML_FN void collect(int64_t first, SampleRange samples, SampleRange upcoming,
                        Counters& counters, float* workspace) const {
        const int64_t at = first_slot(samples.begin - first);
        const TileSlots slots{batch_.rows + at, batch_.vectors + at * batch_.stride, batch_.stride};
        Tile<Lanes, Memory, Team> tile(job_, memory_, {}, workspace);
        if (!tile.compute_gradients(samples, upcoming, false, slots, counters)) {
            counters.first_non_finite = samples.begin;
            return;
        }
        for (int64_t slot = at; slot < at + n_slots(); ++slot) {
            if (batch_.rows[slot] < 0) continue;
            batch_.earlier[slot] = append(list(slot), static_cast<int32_t>(slot), batch_.alone);
        }
    }

    // When all tiles are done: update the rows whose lists end in this tile, which is the one that
    // begins `begin` samples after the batch. Returns whether all new rows were finite.
    CML_FN bool gather(int64_t begin) const {
        const int64_t at = first_slot(begin), end = at + n_slots();
        bool finite = true;
        for (int64_t slot = at; slot < end; ++slot) {
            if (slot + kFetchAhead < end) fetch(slot + kFetchAhead);
            if (batch_.rows[slot] < 0 || !is_last(list(slot), static_cast<int32_t>(slot))) continue;
            finite &= step(slot);
            clear(list(slot));
        }
        return finite;
    }

 private:
    static constexpr int64_t kFetchAhead = 4;  // slots

    CML_FN int64_t n_slots() const { return tile_slots(job_.hyper); }

    CML_FN int64_t first_slot(int64_t sample_in_batch) const {
        return sample_in_batch / job_.hyper.tile_size * n_slots();
    }

    CML_FN const Table& table(int64_t slot) const { return table_of_slot(job_, slot % n_slots()); }

    CML_FN int32_t& list(int64_t slot) const {
        const bool is_user = slot % n_slots() < job_.hyper.tile_size;
        return (is_user ? batch_.last_user_slot : batch_.last_item_slot)[batch_.rows[slot]];
    }

    CML_FN void fetch(int64_t slot) const {
        if (batch_.rows[slot] < 0) return;
        chunks_.fetch(row_of(table(slot), batch_.rows[slot]));
        fetch_accumulators(chunks_, table(slot), batch_.rows[slot]);
        Lanes::prefetch_one(&list(slot));
        chunks_.fetch(gradient_at(slot));
        if (batch_.earlier[slot] >= 0) chunks_.fetch(gradient_at(batch_.earlier[slot]));
    }

    CML_FN bool step(int64_t slot) const {
        Lanes gradient[chunks_.kRoom];
        if (batch_.earlier[slot] < 0) {
            round(slot, gradient);
        } else {
            add_up(slot, gradient);
        }
        float* const row = row_of(table(slot), batch_.rows[slot]);
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, row, accumulators_of(table(slot), batch_.rows[slot]),
            [&](int c, auto part)
                CML_INLINE_LAMBDA { return memory_.load(row + c * kLanes, part); },
            [&](int c, auto) CML_INLINE_LAMBDA { return gradient[c]; });
    }

    // The sum of a list that has no other slot. Most lists are like that, and it takes no integers.
    CML_FN void round(int64_t slot, Lanes* sum) const {
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            sum[c] = gradient_of(slot, c, part).rounded(job_.fixed.scale, job_.fixed.unit);
        });
    }

    // The sum of the list that ends with this slot.
    CML_FN void add_up(int64_t slot, Lanes* sum) const {
        Lanes::Sums sums[chunks_.kRoom];
        chunks_.each([&](int c, auto) CML_INLINE_LAMBDA { sums[c] = {}; });
        for (int64_t s = slot; s >= 0; s = batch_.earlier[s]) {
            chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                sums[c].add(gradient_of(s, c, part), job_.fixed.scale, part);
            });
        }
        chunks_.each([&](int c, auto part)
                         CML_INLINE_LAMBDA { sum[c] = sums[c].times(job_.fixed.unit, part); });
    }

    template <class Part>
    CML_FN Lanes gradient_of(int64_t slot, int c, Part part) const {
        return Lanes::load(gradient_at(slot) + c * kLanes, part);
    }

    CML_FN const float* gradient_at(int64_t slot) const {
        return batch_.vectors + slot * batch_.stride;
    }

    const Job& job_;
    Memory memory_;
    MinibatchMemory batch_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
