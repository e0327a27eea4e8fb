// A mini-batch of tiles on CPU threads, for losses with shared negatives. Every tile stores its
// gradients, and the slots of the same row form a list. When all tiles are done, the worker that
// appended the last slot of a row adds up the gradients of its list and updates the row.
#pragma once

#include "../core/tile_updates.h"
#include "kernel.h"
#include "lanes.h"
#include "row_lists.h"

namespace cml {
inline namespace CML_TARGET {

template <class Memory, class Team, int kChunks>
class TileMinibatch {
 public:
    CML_FN TileMinibatch(const Job& job, Memory memory, const MinibatchMemory& batch)
        : job_(job), memory_(memory), batch_(batch), chunks_{job.hyper.n_dims} {}

    // Compute and store the gradients of the tile [begin, end) in the batch that begins with
    // `first`.
    CML_FN void collect(int64_t first, int64_t begin, int64_t end, Counters& counters,
                        float* workspace) const {
        const int64_t at = first_slot(begin - first);
        const TileSlots slots{batch_.rows + at, batch_.vectors + at * batch_.stride, batch_.stride};
        Tile<Lanes, Memory, Team> tile(job_, memory_, {}, workspace);
        if (!tile.compute_gradients(begin, end, false, slots, counters)) {
            counters.first_non_finite = begin;
            return;
        }
        for (int64_t slot = at; slot < at + n_slots(); ++slot) {
            if (batch_.rows[slot] < 0) continue;
            batch_.earlier[slot] = append(list(slot), static_cast<int32_t>(slot));
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

    CML_FN int64_t n_slots() const { return tile_slots(job_.hyper.n_negatives); }

    CML_FN int64_t first_slot(int64_t sample_in_batch) const {
        return sample_in_batch / job_.hyper.tile_size * n_slots();
    }

    CML_FN const Table& table(int64_t slot) const { return table_of_slot(job_, slot % n_slots()); }

    CML_FN int32_t& list(int64_t slot) const {
        const bool is_user = slot % n_slots() < kTilePairs;
        return (is_user ? batch_.last_user_slot : batch_.last_item_slot)[batch_.rows[slot]];
    }

    CML_FN void fetch(int64_t slot) const {
        if (batch_.rows[slot] < 0) return;
        chunks_.fetch(row_of(table(slot), batch_.rows[slot]));
        fetch_accumulators(chunks_, table(slot), batch_.rows[slot]);
    }

    CML_FN bool step(int64_t slot) const {
        float* const row = row_of(table(slot), batch_.rows[slot]);
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, row, accumulators_of(table(slot), batch_.rows[slot]),
            [&](int c, auto part)
                CML_INLINE_LAMBDA { return memory_.load(row + c * kLanes, part); },
            [&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::Sums sums{};
                for (int64_t s = slot; s >= 0; s = batch_.earlier[s]) {
                    const float* const gradient = batch_.vectors + s * batch_.stride;
                    sums.add(Lanes::load(gradient + c * kLanes, part), job_.fixed.scale, part);
                }
                return sums.times(job_.fixed.unit, part);
            });
    }

    const Job& job_;
    Memory memory_;
    MinibatchMemory batch_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
