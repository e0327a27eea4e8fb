// Updates with the gradients of a single tile: asynchronous training and folding in. Mini-batches
// add up the gradients of several tiles first; how is up to the device.
#pragma once

#include "sync.h"
#include "tile.h"

namespace cml {
inline namespace CML_TARGET {

// The table that the row of a slot is in.
CML_FN const Table& table_of_slot(const Job& job, int64_t slot) {
    return slot < job.hyper.tile_size ? job.users : job.items;
}

// Compute the gradients of a tile, which has been drawn, and update its rows at once, slot by slot:
// a row that several pairs share makes several steps. Workers share the tables as in async.h. A row
// is read once: on CUDA the difference from what was read is added to it, so that what others have
// added meanwhile stays. team.all(x, first) is whether x is true for every member; also a sync().
// The two votes of a tile are told apart by `first`: one may begin while the other is being read.
// Returns whether training can go on: it is false for all members where it is false for one.
template <class Lanes, int kChunks, class Memory, class Team, class AnyTile>
CML_FN bool train_tile(const Job& job, Memory memory, Team team, AnyTile& tile, SampleRange samples,
                       SampleRange upcoming, Counters& counters) {
    const Chunks<Lanes, kChunks> chunks{job.hyper.n_dims};
    const TileSlots& slots = tile.slots();
    const auto note_failure = [&] {
        if (samples.begin < counters.first_non_finite) counters.first_non_finite = samples.begin;
    };
    bool finite = tile.compute_gradients(samples, upcoming, false, slots, counters) ||
                  samples.begin == samples.end;  // the rows of an empty tile do not matter
    if (!finite) note_failure();
    if (!team.all(finite, true)) return false;
    team.each(tile_slots(job.hyper), [&](int64_t slot) CML_INLINE_LAMBDA {
        const int32_t number = slots.rows[slot];
        if (number < 0) return;
        const Table& table = table_of_slot(job, slot);
        float* const row = row_of(table, number);
        const float* const gradient = slots.gradients + slot * slots.stride;
        Lanes before[chunks.kRoom];
        chunks.each([&](int c, auto part)
                        CML_INLINE_LAMBDA { before[c] = memory.load(row + c * kLanes, part); });
        const auto update = [&](auto change) CML_INLINE_LAMBDA {
            finite &= is_bounded(chunks, change) &&
                      update_row<Lanes, kChunks>(
                          job.hyper, memory, row, accumulators_of(table, number),
                          [&](int c, auto) CML_INLINE_LAMBDA { return before[c]; }, change);
        };
        const auto load = [&](int c, auto part) CML_INLINE_LAMBDA {
            return Lanes::load(gradient + c * kLanes, part);
        };
        if constexpr (Lanes::kInLane == InLane::kNegative && kChunks > 0) {
            // On CUDA the gradient is loaded at the same time as the row, and once.
            Lanes held[kChunks];
            chunks.each([&](int c, auto part) CML_INLINE_LAMBDA { held[c] = load(c, part); });
            update([&](int c, auto) CML_INLINE_LAMBDA { return held[c]; });
        } else {
            update(load);
        }
    });
    if (!finite) note_failure();
    return team.all(finite, false);
}

// The step of folding in (see fold_in.h): add up the gradients of a tile, all of one user, and make
// one step of that user.
template <class Lanes, int kChunks, class Memory, class Team>
CML_FN bool fold_in_tile(const Job& alone, Memory memory, Tile<Lanes, Memory, Team>& tile,
                         SampleRange samples, SampleRange upcoming) {
    Counters counters;
    const TileSlots& slots = tile.slots();
    if (!tile.compute_gradients(samples, upcoming, true, slots, counters)) return false;
    const int n_pairs = static_cast<int>(samples.end - samples.begin);
    float* const user = row_of(alone.users, 0);
    return update_row<Lanes, kChunks>(
        alone.hyper, memory, user, accumulators_of(alone.users, 0),
        [&](int c, auto part) CML_INLINE_LAMBDA { return memory.load(user + c * kLanes, part); },
        [&](int c, auto part) CML_INLINE_LAMBDA {
            Lanes sum = Lanes::splat(0.0f);
            for (int i = 0; i < n_pairs; ++i) {
                sum.add(Lanes::load(slots.gradients + i * slots.stride + c * kLanes, part), part);
            }
            return sum;
        });
}

}  // namespace CML_TARGET
}  // namespace cml
