// The training step of Collaborative Metric Learning, written once for every device.
//
//   draw.h        which pairs, which negatives          (random, by counters)
//   warp_loss.h   what a pair asks for                  (reads distances)
//   update.h      AdaGrad and norm censoring            (writes the tables)
//   this file     a range of visits, one after another
//
// `Lanes` does arithmetic on 32 virtual lanes (see lanes.h), and `Memory` says how chunks of a row
// are read from and written to tables that others change too.
#pragma once

#include <cmath>

#include "draw.h"
#include "update.h"
#include "warp_loss.h"

namespace cml {
inline namespace CML_TARGET {

// Working memory of one worker (a CPU thread, a warp).
struct Scratch {
    Pair* tile;          // kLanes pairs
    float* distances;    // of the current pair's negatives: `stride`, at first all infinite
    int32_t* negatives;  // of the current pair and the next one: twice `stride`
    int64_t stride;      // n_negatives or more, a multiple of kLanes

    CML_FN int32_t* negatives_of(int i) const { return negatives + i % 2 * stride; }
};

// A squared gradient norm above this counts as divergence. It leaves the accumulators, sums of
// such squares, far from overflow.
constexpr float kLargestGradient = 1e30f;

// kChunks: how many times 32 elements a row has, the last time perhaps not all; 0: known at run
// time only.
template <class Lanes, class Memory, class Loss, int kChunks>
class Step {
 public:
    CML_FN Step(const Job& job, Memory memory, Scratch scratch)
        : job_(job),
          memory_(memory),
          scratch_(scratch),
          loss_{job.hyper.margin, job.rank_weights},
          chunks_{job.hyper.n_dims} {}

    // Train the visits [begin, end).
    CML_FN void walk(int64_t begin, int64_t end, Counters& counters) {
        for (int64_t visit = begin; visit < end;) {
            const int64_t epoch = visit / job_.likes.n_pairs;
            const int count = draw_pairs<Lanes>(job_, visit, end, epoch, scratch_.tile);
            draw_ranks_of(0, count, epoch);
            find_negatives_of(0, count);
            for (int i = 0; i < count; ++i) train_pair(i, count, epoch, visit + i, counters);
            visit += count;
        }
    }

 private:
    // The next pair's negatives are drawn within this pair, in the places where it would wait: for
    // its distances to reach scratch memory, and for the accumulators of the row just chosen.
    CML_FN void train_pair(int i, int count, int64_t epoch, int64_t visit, Counters& counters) {
        const Pair pair = scratch_.tile[i];
        const bool trainable = n_free(pair, job_) > 0;
        const float distance = trainable ? measure(pair, i) : 0.0f;
        draw_ranks_of(i + 1, count, epoch);
        Contribution c{-1, 0, 0.0f, 0.0f, 0.0f};
        int32_t negative = 0;
        if (trainable) {
            c = loss_.template evaluate<Lanes>(distance, scratch_.distances, job_.hyper.n_negatives,
                                               pair.weight);
            if (c.negative >= 0) {
                negative = scratch_.negatives_of(i)[c.negative];
                chunks_.fetch(accumulators_of(job_.items, negative));
            }
        }
        find_negatives_of(i + 1, count);

        counters.pairs += 1;
        counters.skipped += trainable ? 0 : 1;
        counters.impostors += c.impostors;
        if (c.negative < 0) return;
        counters.active += 1;
        if (c.gradient_bound <= kLargestGradient && apply(pair, negative, 2.0f * c.weight)) {
            counters.loss += c.loss;
        } else if (visit < counters.first_non_finite) {
            counters.first_non_finite = visit;
        }
    }

    CML_FN void draw_ranks_of(int i, int count, int64_t epoch) {
        if (i >= count || n_free(scratch_.tile[i], job_) <= 0) return;
        draw_ranks<Lanes>(job_, scratch_.tile[i], epoch, scratch_.negatives_of(i));
    }

    // With them, all rows that the pair will read are asked for.
    CML_FN void find_negatives_of(int i, int count) {
        if (i >= count || n_free(scratch_.tile[i], job_) <= 0) return;
        const Pair pair = scratch_.tile[i];
        chunks_.fetch(row_of(job_.users, pair.user));
        chunks_.fetch(row_of(job_.items, pair.positive));
        chunks_.fetch(accumulators_of(job_.users, pair.user));
        chunks_.fetch(accumulators_of(job_.items, pair.positive));
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
        constexpr int kSide = Lanes::kRowsAtOnce;
        for (int slot = 0; slot < n; slot += kSide) {
            const float* rows[kSide];
            float distances[kSide];
            CML_UNROLL
            for (int k = 0; k < kSide; ++k) rows[k] = row_of(job_.items, negatives[slot + k]);
            squared_distances<kSide>(user, rows, distances);
            CML_UNROLL
            for (int k = 0; k < kSide; ++k) {
                if (slot + k >= n) distances[k] = INFINITY;
            }
            Lanes::store(scratch_.distances + slot, distances);
        }
        Lanes::sync();
        return distance[0];
    }

    // Update the three rows of a pair. `factor` is twice the weight of the loss; the gradients are
    //   du = factor (v_k - v_j),   dv_j = factor (v_j - u),   dv_k = factor (u - v_k).
    // Returns whether all results were finite.
    CML_FN bool apply(const Pair& pair, int32_t negative, float factor) {
        const Table& users = job_.users;
        const Table& items = job_.items;
        float* const rows[3] = {row_of(users, pair.user), row_of(items, pair.positive),
                                row_of(items, negative)};
        float* const accumulators[3] = {accumulators_of(users, pair.user),
                                        accumulators_of(items, pair.positive),
                                        accumulators_of(items, negative)};
        Lanes before[chunks_.kRoom][3];
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int t = 0; t < 3; ++t) before[c][t] = memory_.load(rows[t] + c * kLanes, part);
        });
        const Lanes scale = Lanes::splat(factor);
        bool finite = true;
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            constexpr int kTo[3] = {2, 1, 0};  // du = factor (v_k - v_j), and so on
            constexpr int kFrom[3] = {1, 0, 2};
            finite &= update_row<Lanes, kChunks>(
                job_.hyper, memory_, rows[t], accumulators[t],
                [&](int c) CML_INLINE_LAMBDA { return before[c][t]; },
                [&](int c) CML_INLINE_LAMBDA {
                    return scale * (before[c][kTo[t]] - before[c][kFrom[t]]);
                });
        }
        return finite;
    }

    // The user's row while its distances are taken: in registers where it fits.
    class UserRow {
     public:
        CML_FN UserRow(const Step& step, const float* row) : step_(step), row_(row) {
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
        const Step& step_;
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
    Loss loss_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
