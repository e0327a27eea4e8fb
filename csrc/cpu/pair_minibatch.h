// A mini-batch of pairs on CPU threads, for pairwise losses. Each pair yields a triplet of rows.
// The triplets that change the same row form a list, which the workers append to while they go
// through the pairs. When all pairs are done, the worker that appended the last one updates the
// row. Most rows of a batch are changed by a single pair, so most of them are updated by the worker
// that has them in its cache.
#pragma once

#include "../core/sync.h"
#include "../core/workspace.h"
#include "kernel.h"
#include "lanes.h"
#include "row_lists.h"

namespace cml {
inline namespace CML_TARGET {

template <class Memory, int kChunks>
class PairMinibatch {
 public:
    CML_FN PairMinibatch(const Job& job, Memory memory, const MinibatchMemory& batch)
        : job_(job), memory_(memory), batch_(batch), chunks_{job.hyper.n_dims} {}

    // Store the triplet of the i-th pair of the batch; negative -1: it has none.
    CML_FN void add(int64_t i, const Triplet& triplet) const {
        batch_.triplets[i] = triplet;
        if (triplet.negative < 0) return;
        for (int64_t slot = first_slot(i); slot < first_slot(i + 1); ++slot) {
            batch_.earlier[slot] = append(list(slot), static_cast<int32_t>(slot), batch_.alone);
        }
    }

    // Prefetch the lists of rows that will soon get longer.
    CML_FN void prefetch_user_list(int32_t user) const {
        prefetch_to_write(batch_.last_user_slot + user);
    }
    CML_FN void prefetch_item_list(int32_t item) const {
        prefetch_to_write(batch_.last_item_slot + item);
    }

    // When all workers have added their triplets: update the rows whose lists end in these
    // triplets. If no other triplet changes the three rows of one, they are updated in place.
    // Otherwise the new vectors are put aside, because other gradients need the old ones. Returns
    // whether all new vectors were finite.
    CML_FN bool gather(int64_t begin, int64_t end) const {
        bool finite = true;
        for (int64_t i = begin; i < end; ++i) {
            if (i + kFetchAhead < end) fetch(i + kFetchAhead);
            if (batch_.triplets[i].negative < 0) continue;
            if (is_alone(i)) {
                finite &= step_in_place(i);
            } else {
                for (int64_t slot = first_slot(i); slot < first_slot(i + 1); ++slot) {
                    if (ends_list(slot)) finite &= step_aside(slot);
                }
            }
        }
        return finite;
    }

    // When all workers have gathered: copy the vectors that were put aside to their rows.
    CML_FN void store(int64_t begin, int64_t end) const {
        for (int64_t slot = first_slot(begin); slot < first_slot(end); ++slot) {
            if (triplet_of(slot).negative < 0 || !ends_list(slot)) continue;
            clear(list(slot));
            const float* from = aside(slot);
            float* to = row_of(table(slot), number(slot));
            chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes::load(from + c * kLanes, part).store(to + c * kLanes, part);
            });
        }
    }

 private:
    static constexpr int kFetchAhead = 2;  // triplets

    static CML_FN int64_t first_slot(int64_t i) { return kSlotsOfPair * i; }

    // Which row of its triplet a slot is: the user (0), the positive (1) or the negative (2).
    static CML_FN int role(int64_t slot) { return static_cast<int>(slot % kSlotsOfPair); }

    static CML_FN void prefetch_to_write(const int32_t* list) {
        constexpr int kToWrite = 1, kIntoL2 = 2;
        __builtin_prefetch(list, kToWrite, kIntoL2);
    }

    CML_FN const Triplet& triplet_of(int64_t slot) const {
        return batch_.triplets[slot / kSlotsOfPair];
    }

    // Whether no other triplet changes any row of this one.
    CML_FN bool is_alone(int64_t i) const {
        bool alone = true;
        for (int64_t slot = first_slot(i); slot < first_slot(i + 1); ++slot) {
            alone &= ends_list(slot) && batch_.earlier[slot] < 0;
        }
        return alone;
    }

    CML_FN bool step_in_place(int64_t i) const {
        const Triplet triplet = batch_.triplets[i];
        batch_.triplets[i].negative = -1;  // nothing is left to store
        batch_.last_user_slot[triplet.user] = -1;
        batch_.last_item_slot[triplet.positive] = -1;
        batch_.last_item_slot[triplet.negative] = -1;
        return update_rows<Lanes, kChunks>(job_, memory_, triplet,
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
        const Triplet& triplet = batch_.triplets[i];
        if (triplet.negative < 0) return;
        chunks_.fetch(row_of(job_.users, triplet.user));
        chunks_.fetch(row_of(job_.items, triplet.positive));
        chunks_.fetch(row_of(job_.items, triplet.negative));
        fetch_accumulators(chunks_, job_.users, triplet.user);
        fetch_accumulators(chunks_, job_.items, triplet.positive);
        fetch_accumulators(chunks_, job_.items, triplet.negative);
    }

    using Gradient = TripletGradient<Lanes, Memory>;

    CML_FN Gradient gradient(int64_t slot) const {
        return Gradient(job_, memory_, triplet_of(slot), role(slot));
    }

    CML_FN float* aside(int64_t slot) const { return batch_.vectors + slot * batch_.stride; }

    // The row of a slot: its number, and the table it is in.
    CML_FN int32_t number(int64_t slot) const {
        const Triplet& triplet = triplet_of(slot);
        return role(slot) == 0   ? triplet.user
               : role(slot) == 1 ? triplet.positive
                                 : triplet.negative;
    }

    CML_FN const Table& table(int64_t slot) const {
        return role(slot) == 0 ? job_.users : job_.items;
    }

    // The list of a slot's row.
    CML_FN int32_t& list(int64_t slot) const {
        return (role(slot) == 0 ? batch_.last_user_slot : batch_.last_item_slot)[number(slot)];
    }

    CML_FN bool ends_list(int64_t slot) const {
        return is_last(list(slot), static_cast<int32_t>(slot));
    }

    const Job& job_;
    Memory memory_;
    MinibatchMemory batch_;
    Chunks<Lanes, kChunks> chunks_;
};

// Stores the triplets of the batch whose first sample is `first`.
template <class Memory, int kChunks>
class TripletUpdates {
 public:
    CML_FN TripletUpdates(const Job& job, const PairMinibatch<Memory, kChunks>& batch,
                          int64_t first)
        : job_(job), batch_(batch), first_(first) {}

    CML_FN void prefetch(const Pair& pair) const {
        batch_.prefetch_user_list(pair.user);
        batch_.prefetch_item_list(pair.positive);
    }

    CML_FN void on_negative(int32_t negative) const { batch_.prefetch_item_list(negative); }

    CML_FN bool apply(int64_t sample, const Pair& pair, int32_t negative,
                      const PairLoss& loss) const {
        const bool summable = negative < 0 || is_summable(job_, loss);
        batch_.add(sample - first_,
                   {pair.user, pair.positive, summable ? negative : -1, 2.0f * loss.weight});
        return summable;
    }

 private:
    const Job& job_;
    const PairMinibatch<Memory, kChunks>& batch_;
    int64_t first_;
};

}  // namespace CML_TARGET
}  // namespace cml
