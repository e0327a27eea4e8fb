// The training step of Collaborative Metric Learning, written once for every device.
//
//   draw.h        which pairs, which negatives                       (random, by counters)
//   warp_loss.h   what a pair asks for                               (reads distances)
//   this file     that for a range of visits, one after another      (reads the tables)
//   update.h      what is done to a row: AdaGrad and norm censoring  (writes the tables)
//   async.h       it is done at once, to the rows of each pair
//   sync.h        it is done once for a mini-batch of pairs
//
// `Lanes` does arithmetic on 32 virtual lanes (see lanes.h), and `Memory` says how chunks of a row
// are read from and written to tables that others change too.
#pragma once

#include <cmath>

#include "draw.h"
#include "rows.h"
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

// kChunks: how many times 32 elements a row has, the last time perhaps not all; 0: known at run
// time only. `Updates` hears what the pairs ask for:
//   coming(pair)                        a pair that is visited next
//   chosen(negative)                    an update with this negative is about to come
//   take(visit, pair, negative, c)      the contribution of a pair, an active one or (negative -1)
//                                       not; answers whether it is fit for use
template <class Lanes, class Memory, class Loss, int kChunks, class Updates>
class Walk {
 public:
    CML_FN Walk(const Job& job, Memory memory, Scratch scratch, Updates updates)
        : job_(job),
          memory_(memory),
          scratch_(scratch),
          updates_(updates),
          loss_{job.hyper.margin, job.rank_weights},
          chunks_{job.hyper.n_dims} {}

    // Visit [begin, end).
    CML_FN void visit(int64_t begin, int64_t end, Counters& counters) {
        for (int64_t at = begin; at < end;) {
            const int64_t epoch = at / job_.likes.n_pairs;
            const int count = draw_pairs<Lanes>(job_, at, end, epoch, scratch_.tile);
            draw_ranks_of(0, count, epoch);
            find_negatives_of(0, count);
            for (int i = 0; i < count; ++i) visit_pair(i, count, epoch, at + i, counters);
            at += count;
        }
    }

 private:
    // The next pair's negatives are drawn within this pair, in the places where it would wait: for
    // its distances to reach scratch memory, and for the accumulators of the row just chosen.
    CML_FN void visit_pair(int i, int count, int64_t epoch, int64_t visit, Counters& counters) {
        const Pair pair = scratch_.tile[i];
        const bool trainable = n_free(pair, job_) > 0;
        const float distance = trainable ? measure(pair, i) : 0.0f;
        draw_ranks_of(i + 1, count, epoch);
        Contribution c{-1, 0, 0.0f, 0.0f, 0.0f};
        int32_t negative = -1;
        if (trainable) {
            c = loss_.template evaluate<Lanes>(distance, scratch_.distances, job_.hyper.n_negatives,
                                               pair.weight);
            if (c.negative >= 0) {
                negative = scratch_.negatives_of(i)[c.negative];
                updates_.chosen(negative);
            }
        }
        find_negatives_of(i + 1, count);

        counters.pairs += 1;
        counters.skipped += trainable ? 0 : 1;
        counters.impostors += c.impostors;
        counters.active += c.negative >= 0 ? 1 : 0;
        if (updates_.take(visit, pair, negative, c)) {
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
        updates_.coming(pair);
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

    // The user's row while its distances are taken: in registers where it fits.
    class UserRow {
     public:
        CML_FN UserRow(const Walk& walk, const float* row) : walk_(walk), row_(row) {
            if constexpr (kHeld) {
                walk.chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
                    held_[c] = walk.memory_.load(row + c * kLanes, part);
                });
            }
        }
        template <class Part>
        CML_FN Lanes chunk(int c, Part part) const {
            if constexpr (kHeld) return held_[c];
            return walk_.memory_.load(row_ + c * kLanes, part);
        }

     private:
        static constexpr bool kHeld = kChunks > 0 && Lanes::kHoldsRow;
        const Walk& walk_;
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
    Loss loss_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
