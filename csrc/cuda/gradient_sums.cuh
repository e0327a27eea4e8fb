// Sums of gradients for synchronous mini-batches on a CUDA device. While the workers go through the
// pairs of a batch, they add gradients to sums in device memory atomically. Then the warps divide
// the rows that have a sum between them and update them.
#pragma once

#include "../core/tile_updates.h"
#include "../core/workspace.h"
#include "kernel.h"
#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

// Every slot has room for a sum. The first worker that has a gradient for a row claims the row for
// its slot; later ones add their gradients to the sum of that slot. Where slots are rows, each row
// has a slot of its own, and there is nothing to claim.
//
// kHeldChunks: kChunks if registers hold a gradient while its slot is claimed, so that all of its
// loads are in flight at once and do not wait for the answer; or 0.
template <int kChunks, int kHeldChunks = 0>
class GradientSums {
 public:
    CML_FN explicit GradientSums(const CudaLaunch& launch)
        : job_(launch.job), batch_(launch.batch) {}

    // Add a gradient, whose chunks are gradient(c, part), to the sum of a row of users or items.
    // `own` is the slot to use if the row has none so far.
    template <class Gradient>
    CML_FN void add(bool is_user, int32_t number, int64_t own, Gradient gradient) const {
        hold(gradient, [&](auto held) {
            const int64_t slot = Lanes::lane() == 0 ? claim(is_user, number, own) : 0;
            add_to(__shfl_sync(kAllLanes, slot, 0), held);
        });
    }

    // Add several gradients to the sum of a slot, by one atomic operation for each element. Calls
    // each(f), which calls f(gradient) for each of them.
    template <class Each>
    CML_FN void add(int64_t slot, Each each) const {
        int64_t* const sums = sums_of(slot);
        if constexpr (kHeldChunks > 0) {
            Lanes::Sum total[kHeldChunks] = {};
            each([&](auto gradient) {
                hold(gradient, [&](auto held) {
                    chunks().each([&](int c, auto part) { total[c] += rounded(held(c, part)); });
                });
            });
            chunks().each(
                [&](int c, auto part) { Lanes::add_sum(sums + c * kLanes, total[c], part); });
        } else {
            chunks().each([&](int c, auto part) {
                Lanes::Sum total = 0;
                each([&](auto gradient) { total += rounded(gradient(c, part)); });
                Lanes::add_sum(sums + c * kLanes, total, part);
            });
        }
    }

    // Return the slot of a row; if it has none, claim it for the slot `own`. For a single lane.
    CML_FN int64_t claim(bool is_user, int32_t number, int64_t own) const {
        if (batch_.slots_are_rows) {
            const int64_t slot = (is_user ? 0 : job_.users.n_rows) + number;
            // All that have a gradient for this row write the same.
            atomicExch(batch_.rows + slot, number + 1);
            return slot;
        }
        // In memory slots count from 1, and 0 means none.
        const int32_t before = atomicCAS(owner(is_user, number), 0, static_cast<int32_t>(own + 1));
        if (before != 0) return before - 1;
        batch_.rows[own] = number + 1;
        return own;
    }

    // The slots of a mini-batch of n pairs.
    CML_FN int64_t count_slots(int64_t n) const {
        return batch_.slots_are_rows ? job_.users.n_rows + job_.items.n_rows
                                     : slots_of_batch(job_.hyper, n);
    }

    // The row of a slot, counted over users and then items, or -1. Frees the slot. For a single
    // lane.
    CML_FN int64_t take(int64_t slot) const {
        const int32_t number = batch_.rows[slot] - 1;
        if (number < 0) return -1;
        batch_.rows[slot] = 0;
        if (batch_.slots_are_rows) return slot;
        const bool is_user = is_user_slot(job_.hyper, slot);
        *owner(is_user, number) = 0;
        return is_user ? number : job_.users.n_rows + number;
    }

    // Update the row that this slot had, see take(). Returns whether the new row was finite.
    CML_FN bool apply(int64_t slot, int64_t of_all) const {
        const DeviceMemory memory{false};  // only one warp writes to a row
        const bool is_user = of_all < job_.users.n_rows;
        const Table& table = is_user ? job_.users : job_.items;
        const int64_t number = is_user ? of_all : of_all - job_.users.n_rows;
        float* const row = row_of(table, number);
        int64_t* const sums = sums_of(slot);
        const auto update = [&](auto before) {
            return update_row<Lanes, kChunks>(
                job_.hyper, memory, row, accumulators_of(table, number), before,
                [&](int c, auto part) {
                    return Lanes::take_sums(sums + c * kLanes, job_.fixed.unit, part);
                });
        };
        if constexpr (kChunks > 0) {
            // All chunks of the row are on their way while the sums are.
            Lanes before[kChunks];
            chunks().each(
                [&](int c, auto part) { before[c] = memory.load(row + c * kLanes, part); });
            return update([&](int c, auto) { return before[c]; });
        } else {
            return update([&](int c, auto part) { return memory.load(row + c * kLanes, part); });
        }
    }

 private:
    CML_FN Chunks<Lanes, kChunks> chunks() const { return {job_.hyper.n_dims}; }

    // Call f with the gradient, in registers if they hold it.
    template <class Gradient, class F>
    CML_FN void hold(Gradient gradient, F f) const {
        if constexpr (kHeldChunks > 0) {
            Lanes held[kHeldChunks];
            chunks().each([&](int c, auto part) { held[c] = gradient(c, part); });
            f([&](int c, auto) { return held[c]; });
        } else {
            f(gradient);
        }
    }

    template <class Gradient>
    CML_FN void add_to(int64_t slot, Gradient gradient) const {
        int64_t* const sums = sums_of(slot);
        chunks().each([&](int c, auto part) {
            Lanes::add_sum(sums + c * kLanes, rounded(gradient(c, part)), part);
        });
    }

    CML_FN Lanes::Sum rounded(Lanes gradient) const {
        return Lanes::rounded(gradient, job_.fixed.scale);
    }

    CML_FN int64_t* sums_of(int64_t slot) const { return batch_.sums + slot * batch_.stride; }

    CML_FN int32_t* owner(bool is_user, int32_t number) const {
        return (is_user ? batch_.user_slots : batch_.item_slots) + number;
    }

    const Job& job_;
    const CudaMinibatch& batch_;
};

}  // namespace CML_TARGET
}  // namespace cml
