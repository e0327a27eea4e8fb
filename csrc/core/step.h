// The training step of Collaborative Metric Learning, written once for every device.
//
//   draw_tile, draw_negatives   which pairs, which negatives        (random, by counters)
//   contribution                what a pair asks for                (reads the tables)
//   apply                       AdaGrad and norm censoring          (writes the tables)
//   walk                        a range of visits, one after another
//
// `Lanes` does arithmetic on 32 virtual lanes (see lanes.h), and `Memory` says how chunks of a row
// are read from and written to tables that others change too.
#pragma once

#include <cmath>

#include "job.h"
#include "lanes.h"
#include "negatives.h"
#include "visit_order.h"
#include "warp_loss.h"

namespace cml {
inline namespace CML_TARGET {

struct Pair {
    int64_t number;     // position in the CSR arrays: keys the random numbers
    int64_t row_begin;  // the user's likes: indices[row_begin .. row_begin + n_liked)
    int32_t n_liked;
    int32_t user;
    int32_t positive;
    float weight;
};

constexpr int kGroup = 4;  // negatives that one call of the generator gives

// Negatives come in whole groups; those beyond the last that was asked for are ignored.
constexpr int64_t in_groups(int64_t n_negatives) {
    return (n_negatives + kGroup - 1) / kGroup * kGroup;
}

// Working memory of one worker (a CPU thread, a warp).
struct Scratch {
    Pair* tile;          // kLanes pairs
    float* distances;    // of the current pair's negatives: `stride`, at first all infinite
    int32_t* negatives;  // of the current pair and the next two: three times `stride`
    int64_t stride;      // n_negatives or more, a multiple of kLanes

    CML_FN int32_t* negatives_of(int i) const { return negatives + i % 3 * stride; }
};

// A squared gradient norm above this counts as divergence. It leaves the accumulators, sums of
// such squares, far from overflow.
constexpr float kLargestGradient = 1e30f;

// kChunks: how many times 32 elements a row has, all but the last complete; 0: known at run time.
template <class Lanes, class Memory, class Loss, int kChunks>
class Step {
 public:
    CML_FN Step(const Job& job, Memory memory, Scratch scratch)
        : job_(job),
          memory_(memory),
          scratch_(scratch),
          loss_{job.hyper.margin, job.rank_weights} {}

    // Train the visits [begin, end).
    CML_FN void walk(int64_t begin, int64_t end, Counters& counters) {
        for (int64_t visit = begin; visit < end;) {
            const int64_t epoch = visit / job_.likes.n_pairs;
            const int count = draw_tile(visit, end, epoch);
            draw_negatives(0, count, epoch);
            for (int slot = 0; slot < job_.hyper.n_negatives; slot += kGroup) fetch_ahead(0, slot);
            draw_negatives(1, count, epoch);
            for (int i = 0; i < count; ++i) train_pair(i, count, epoch, visit + i, counters);
            visit += count;
        }
    }

 private:
    // Draw the pairs of the next visits, one a lane; return how many. A tile ends with its epoch.
    CML_FN int draw_tile(int64_t visit, int64_t end, int64_t epoch) {
        const Likes& likes = job_.likes;
        const int64_t position = visit - epoch * likes.n_pairs;
        int64_t count = end - visit;
        if (count > likes.n_pairs - position) count = likes.n_pairs - position;
        if (count > kLanes) count = kLanes;
        const VisitOrder order(likes.n_pairs, job_.hyper.seed, epoch);
        Lanes::sync();  // the last tile has been read by all lanes
        Lanes::each(static_cast<int>(count), [&](int i) CML_INLINE_LAMBDA {
            const int64_t number = order(position + i);
            const int64_t user = user_of(number);
            Pair& pair = scratch_.tile[i];
            pair.number = number;
            pair.row_begin = likes.indptr[user];
            pair.n_liked = static_cast<int32_t>(likes.indptr[user + 1] - pair.row_begin);
            pair.user = static_cast<int32_t>(user);
            pair.positive = likes.indices[number];
            pair.weight = likes.weights ? likes.weights[number] : 1.0f;
            Lanes::prefetch_likes(likes.indices + pair.row_begin, pair.n_liked);
        });
        Lanes::sync();
        return static_cast<int>(count);
    }

    // The user whose row holds this pair: the last one with indptr[user] <= number.
    CML_FN int64_t user_of(int64_t number) const {
        int64_t user = 0;
        for (int64_t left = job_.users.n_rows; left > 1;) {
            const int64_t half = left / 2;
            user = job_.likes.indptr[user + half] <= number ? user + half : user;
            left -= half;
        }
        return user;
    }

    // Items that the user of a pair has not liked.
    CML_FN int32_t n_free(const Pair& pair) const {
        return static_cast<int32_t>(job_.items.n_rows) - pair.n_liked;
    }

    CML_FN void draw_negatives(int i, int count, int64_t epoch) {
        if (i >= count) return;
        const Pair pair = scratch_.tile[i];
        const int32_t free = n_free(pair);
        if (free <= 0) return;
        int32_t* negatives = scratch_.negatives_of(i);
        const int32_t* liked = job_.likes.indices + pair.row_begin;
        const uint64_t seed = job_.hyper.seed;
        const int n_groups = static_cast<int>(in_groups(job_.hyper.n_negatives) / kGroup);
        // A call of the generator gives four words: one group. Drawing all ranks before the first
        // search lets a CPU work on several of either at once.
        Lanes::each(n_groups, [=](int group) CML_INLINE_LAMBDA {
            const Words w = random_words(seed, Purpose::kNegatives, epoch, pair.number, group);
            CML_UNROLL
            for (int g = 0; g < kGroup; ++g)
                negatives[group * kGroup + g] = scale_to(w.word[g], free);
        });
        Lanes::each(n_groups, [=](int group) CML_INLINE_LAMBDA {
            ranks_to_items<kGroup>(negatives + group * kGroup, liked, pair.n_liked);
        });
        Lanes::sync();
    }

    CML_FN void train_pair(int i, int count, int64_t epoch, int64_t visit, Counters& counters) {
        const Pair pair = scratch_.tile[i];
        const bool trainable = n_free(pair) > 0;
        Contribution c{-1, 0, 0.0f, 0.0f, 0.0f};
        int32_t negative = 0;
        if (trainable) {
            c = contribution(pair, i, count);
            if (c.negative >= 0) {
                negative = scratch_.negatives_of(i)[c.negative];
                fetch(accumulators_of(job_.items, negative));
            }
        }
        // Here, where the draw gives the row just asked for the time to arrive.
        draw_negatives(i + 2, count, epoch);

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

    // Distances to the positive and to every negative, judged by the loss. Nothing is changed.
    CML_FN Contribution contribution(const Pair& pair, int i, int count) const {
        const int32_t* negatives = scratch_.negatives_of(i);
        const UserRow user(*this, row(job_.users, pair.user));
        const float* const positive[1] = {row(job_.items, pair.positive)};
        float distance[1];
        squared_distances<1>(user, positive, distance);
        const int n = job_.hyper.n_negatives;
        for (int slot = 0; slot < n; slot += kGroup) {
            if (i + 1 < count) fetch_ahead(i + 1, slot);
            const float* rows[kGroup];
            CML_UNROLL
            for (int g = 0; g < kGroup; ++g) rows[g] = row(job_.items, negatives[slot + g]);
            constexpr int kSide = Lanes::kRowsAtOnce;
            CML_UNROLL
            for (int g = 0; g < kGroup; g += kSide) {
                float distances[kSide];
                squared_distances<kSide>(user, rows + g, distances);
                CML_UNROLL
                for (int k = 0; k < kSide; ++k) {
                    if (slot + g + k >= n) distances[k] = INFINITY;
                }
                Lanes::store(scratch_.distances + slot + g, distances);
            }
        }
        Lanes::sync();
        return loss_.template evaluate<Lanes>(distance[0], scratch_.distances, n, pair.weight);
    }

    // One AdaGrad step on the three rows of a pair, each then pulled back into the ball of radius
    // max_norm. `factor` is twice the weight of the loss; the gradients are
    //   du = factor (v_k - v_j),   dv_j = factor (v_j - u),   dv_k = factor (u - v_k).
    // A row whose result is not finite stays as it was; returns whether all were finite.
    CML_FN bool apply(const Pair& pair, int32_t negative, float factor) {
        const Table& users = job_.users;
        const Table& items = job_.items;
        float* const rows[3] = {row(users, pair.user), row(items, pair.positive),
                                row(items, negative)};
        float* const accumulators[3] = {accumulators_of(users, pair.user),
                                        accumulators_of(items, pair.positive),
                                        accumulators_of(items, negative)};
        constexpr int kStored = kChunks > 0 ? kChunks : kMaxDims / kLanes;
        Lanes before[kStored][3];
        for_chunks([&](int c, auto part) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int t = 0; t < 3; ++t) before[c][t] = memory_.load(rows[t] + c * kLanes, part);
        });
        const Lanes rate = Lanes::splat(job_.hyper.learning_rate);
        const Lanes epsilon = Lanes::splat(job_.hyper.epsilon);
        const Lanes scale = Lanes::splat(factor);
        bool finite = true;
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            constexpr int kTo[3] = {2, 1, 0};  // du = factor (v_k - v_j), and so on
            constexpr int kFrom[3] = {1, 0, 2};
            Lanes after[kStored];
            Lanes squares[1] = {Lanes::splat(0.0f)};
            for_chunks([&](int c, auto part) CML_INLINE_LAMBDA {
                const Lanes gradient = scale * (before[c][kTo[t]] - before[c][kFrom[t]]);
                float* const accumulator = accumulators[t] + c * kLanes;
                const Lanes old = memory_.load(accumulator, part);
                const Lanes sum = old + gradient * gradient;
                memory_.commit(accumulator, old, sum, part);
                after[c] = before[c][t] - rate * gradient / sqrt(sum + epsilon);
                squares[0].add(after[c] * after[c], part);
            });
            float square[1];
            Lanes::sum(squares, square);
            if (square[0] - square[0] != 0.0f) {
                finite = false;
                continue;
            }
            const float norm = square_root(square[0]);
            const float limit = job_.hyper.max_norm;
            const Lanes shrink = Lanes::splat(limit / (norm > limit ? norm : limit));
            for_chunks([&](int c, auto part) CML_INLINE_LAMBDA {
                memory_.commit(rows[t] + c * kLanes, before[c][t], after[c] * shrink, part);
            });
        }
        return finite;
    }

    // The user's row while its distances are taken: in registers where it fits.
    class UserRow {
     public:
        CML_FN UserRow(const Step& step, const float* row) : step_(step), row_(row) {
            if constexpr (kHeld) {
                step.for_chunks([&](int c, auto part) CML_INLINE_LAMBDA {
                    chunks_[c] = step.memory_.load(row + c * kLanes, part);
                });
            }
        }
        template <class Part>
        CML_FN Lanes chunk(int c, Part part) const {
            if constexpr (kHeld) return chunks_[c];
            return step_.memory_.load(row_ + c * kLanes, part);
        }

     private:
        static constexpr bool kHeld = kChunks > 0 && Lanes::kHoldsRow;
        const Step& step_;
        const float* row_;
        Lanes chunks_[kHeld ? kChunks : 1];
    };

    template <int kRows>
    CML_FN void squared_distances(const UserRow& user, const float* const* rows,
                                  float (&out)[kRows]) const {
        Lanes sums[kRows];
        CML_UNROLL
        for (int g = 0; g < kRows; ++g) sums[g] = Lanes::splat(0.0f);
        for_chunks([&](int c, auto part) CML_INLINE_LAMBDA {
            const Lanes u = user.chunk(c, part);
            CML_UNROLL
            for (int g = 0; g < kRows; ++g) {
                const Lanes difference = u - memory_.load(rows[g] + c * kLanes, part);
                sums[g].add(difference * difference, part);
            }
        });
        Lanes::sum(sums, out);
    }

    // f(c, part) for each 32 elements of a row.
    template <class F>
    CML_FN void for_chunks(F f) const {
        const int last = kChunks > 0 ? kChunks - 1 : (job_.hyper.n_dims - 1) / kLanes;
        CML_UNROLL
        for (int c = 0; c < last; ++c) f(c, Full{});
        Lanes::last_part(job_.hyper.n_dims - last * kLanes,
                         [&](auto part) CML_INLINE_LAMBDA { f(last, part); });
    }

    // Rows of a coming pair: those of a group of its negatives, and with the first group its own.
    CML_FN void fetch_ahead(int i, int slot) const {
        const Pair& pair = scratch_.tile[i];
        if (n_free(pair) <= 0) return;
        const int32_t* negatives = scratch_.negatives_of(i);
        for (int g = 0; g < kGroup; ++g) fetch(row(job_.items, negatives[slot + g]));
        if (slot > 0) return;
        fetch(row(job_.users, pair.user));
        fetch(row(job_.items, pair.positive));
        fetch(accumulators_of(job_.users, pair.user));
        fetch(accumulators_of(job_.items, pair.positive));
    }

    CML_FN void fetch(const float* row) const {
        for_chunks([&](int c, auto part)
                       CML_INLINE_LAMBDA { Lanes::prefetch(row + c * kLanes, part); });
    }

    static CML_FN float* row(const Table& table, int64_t number) {
        return table.values + number * table.stride;
    }

    static CML_FN float* accumulators_of(const Table& table, int64_t number) {
        return table.accumulators + number * table.stride;
    }

    const Job& job_;
    Memory memory_;
    Scratch scratch_;
    Loss loss_;
};

}  // namespace CML_TARGET
}  // namespace cml
