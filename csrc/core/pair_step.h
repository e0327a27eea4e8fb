// The training step of Collaborative Metric Learning for pairwise losses, written once for every
// device. (tile.h has the step for losses with shared negatives.)
//
//   draw.h         draws the pairs and their negatives, by counter-based random numbers
//   this file      computes the distances of each pair, and calls
//   losses/warp.h  the loss, which turns distances into the coefficient of the gradients
//   update.h       changes a row: an AdaGrad step, then the projection onto the norm ball
//   async.h        updates the rows of each pair at once
//   sync.h         updates the rows once for each mini-batch of pairs
//
// `Lanes` does arithmetic on 32 virtual lanes (see lanes.h). `Memory` reads and writes chunks of
// rows that other workers may change at the same time.
#pragma once

#include <cmath>

#include "draw.h"
#include "losses/policy.h"
#include "rows.h"

namespace cml {
inline namespace CML_TARGET {

// Working memory of one worker (a CPU thread, a warp).
struct Scratch {
    Pair* block;         // kLanes pairs
    float* distances;    // of the current pair's negatives: `stride` floats, at first all infinite
    int32_t* negatives;  // of the current pair and the next one: twice `stride`
    int64_t stride;      // n_negatives or more, a multiple of kLanes

    CML_FN int32_t* negatives_of(int i) const { return negatives + i % 2 * stride; }
};

// kChunks: the number of 32-element chunks of a row, the last of which may be incomplete; 0: known
// at run time only. `Policy` is a pairwise loss, see losses/policy.h. `Updates` does the updates:
//   prefetch(pair)                       this pair will be trained next
//   on_negative(negative)                an update with this negative will follow
//   apply(sample, pair, negative, loss)  make or note the update of a pair, or none (negative -1);
//                                        returns false if the gradient is too large or not finite
template <class Lanes, class Memory, class Policy, int kChunks, class Updates>
class PairStep {
 public:
    CML_FN PairStep(const Job& job, Memory memory, Scratch scratch, Updates updates)
        : job_(job),
          memory_(memory),
          scratch_(scratch),
          updates_(updates),
          policy_(job),
          chunks_{job.hyper.n_dims} {}

    // Train the samples [begin, end), one after another.
    CML_FN void run(int64_t begin, int64_t end, Counters& counters) {
        for (int64_t first = begin; first < end;) {
            const int64_t epoch = first / job_.likes.n_pairs;
            const int count = draw_pairs<Lanes>(job_, first, end, epoch, scratch_.block);
            draw_ranks_of(0, count, epoch);
            find_negatives_of(0, count);
            for (int i = 0; i < count; ++i) train_pair(i, count, epoch, first + i, counters);
            first += count;
        }
    }

 private:
    // The negatives of the next pair are drawn while this one waits for memory: for its distances
    // to reach scratch memory, and for the accumulators of the negative that the loss picked.
    CML_FN void train_pair(int i, int count, int64_t epoch, int64_t sample, Counters& counters) {
        const Pair pair = scratch_.block[i];
        const bool trainable = n_free(pair, job_) > 0;
        const float distance = trainable ? measure(pair, i) : 0.0f;
        if (!trainable) Lanes::sync();  // all have read the negatives that the next draw replaces
        draw_ranks_of(i + 1, count, epoch);
        PairLoss loss{-1, 0, 0.0f, 0.0f, 0.0f};
        int32_t negative = -1;
        if (trainable) {
            loss = policy_.template evaluate<Lanes>(distance, scratch_.distances,
                                                    job_.hyper.n_negatives, pair.weight);
            if (loss.negative >= 0) {
                negative = scratch_.negatives_of(i)[loss.negative];
                updates_.on_negative(negative);
            }
        }
        find_negatives_of(i + 1, count);

        counters.pairs += 1;
        counters.skipped += trainable ? 0 : 1;
        counters.impostors += loss.impostors;
        counters.active += loss.negative >= 0 ? 1 : 0;
        if (updates_.apply(sample, pair, negative, loss)) {
            counters.loss += loss.loss;
        } else if (sample < counters.first_non_finite) {
            counters.first_non_finite = sample;
        }
    }

    CML_FN void draw_ranks_of(int i, int count, int64_t epoch) {
        if (i >= count || n_free(scratch_.block[i], job_) <= 0) return;
        draw_ranks<Lanes>(job_, scratch_.block[i], epoch, scratch_.negatives_of(i));
    }

    // Also prefetches all rows that the pair will read.
    CML_FN void find_negatives_of(int i, int count) {
        if (i >= count || n_free(scratch_.block[i], job_) <= 0) return;
        const Pair pair = scratch_.block[i];
        chunks_.fetch(row_of(job_.users, pair.user));
        chunks_.fetch(row_of(job_.items, pair.positive));
        updates_.prefetch(pair);
        find_negatives<Lanes>(job_, pair, scratch_.negatives_of(i),
                              [&](int32_t negative) CML_INLINE_LAMBDA {
                                  chunks_.fetch(row_of(job_.items, negative));
                              });
    }

    // Squared distances from the user to the positive (returned) and to every negative.
    CML_FN float measure(const Pair& pair, int i) const {
        const int32_t* negatives = scratch_.negatives_of(i);
        const UserRow user(*this, row_of(job_.users, pair.user));
        const float* const positive[1] = {row_of(job_.items, pair.positive)};
        float distance[1];
        squared_distances<1>(user, positive, distance);
        const int n = job_.hyper.n_negatives;
        constexpr int kRows = Lanes::kRowsAtOnce;
        for (int first = 0; first < n; first += kRows) {
            const float* rows[kRows];
            float distances[kRows];
            CML_UNROLL
            for (int k = 0; k < kRows; ++k) rows[k] = row_of(job_.items, negatives[first + k]);
            squared_distances<kRows>(user, rows, distances);
            CML_UNROLL
            for (int k = 0; k < kRows; ++k) {
                if (first + k >= n) distances[k] = INFINITY;
            }
            Lanes::store(scratch_.distances + first, distances);
        }
        Lanes::sync();
        return distance[0];
    }

    // The user's row while distances are computed: in registers if it fits.
    class UserRow {
     public:
        CML_FN UserRow(const PairStep& step, const float* row) : step_(step), row_(row) {
            if constexpr (kHeld) {
                step.chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                    held_[c] = step.memory_.load(row + c * kLanes, part);
                });
            }
        }
        template <class Part>
        CML_FN Lanes chunk(int c, Part part) const {
            if constexpr (kHeld) return held_[c];
            return step_.memory_.load(row_ + c * kLanes, part);
        }

     private:
        static constexpr bool kHeld = kChunks > 0 && Lanes::kHoldsRow;
        const PairStep& step_;
        const float* row_;
        Lanes held_[kHeld ? kChunks : 1];
    };

    template <int kRows>
    CML_FN void squared_distances(const UserRow& user, const float* const* rows,
                                  float (&out)[kRows]) const {
        Lanes sums[kRows];
        CML_UNROLL
        for (int g = 0; g < kRows; ++g) sums[g] = Lanes::splat(0.0f);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const Lanes u = user.chunk(c, part);
            CML_UNROLL
            for (int g = 0; g < kRows; ++g) {
                const Lanes difference = u - memory_.load(rows[g] + c * kLanes, part);
                sums[g].add(difference * difference, part);
            }
        });
        Lanes::sum(sums, out);
    }

    const Job& job_;
    Memory memory_;
    Scratch scratch_;
    Updates updates_;
    Policy policy_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
