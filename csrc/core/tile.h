// The gradients of pairs that share their negatives: a tile of up to kTilePairs successive visits.
//
// Three matrix products with a loss between them:
//
//   distances of all users to all negatives         |u|^2 + |v|^2 - 2 V U^T
//   the loss turns them into pushes Q                (softmax_loss.h, contrastive_loss.h)
//   gradients of the users, of the negatives         Q^T V,  Q U
//
// so that each row is read once and each shared negative is updated once for all pairs. Nothing is
// changed here: the gradients are written down, see TileSlots.
//
// A `Team` shares out the work: a CPU thread alone, or the warps of a CUDA block.
//   each(n, f)   f(0) ... f(n - 1), each by one member
//   sync()       what one member wrote is seen by the others
//   all(x)       whether x is true for every member; a sync() too
#pragma once

#include "contrastive_loss.h"
#include "product.h"
#include "rows.h"
#include "shared_negatives.h"
#include "softmax_loss.h"
#include "tile_space.h"
#include "update.h"

namespace cml {
inline namespace CML_TARGET {

template <class Lanes, class Memory, class Team>
class Tile {
 public:
    CML_FN Tile(const Job& job, Memory memory, Team team, float* space)
        : job_(job), memory_(memory), team_(team), chunks_{job.hyper.n_dims} {
        const TileParts at{job.hyper.n_negatives, n_chunks(), kColumns};
        pairs_ = reinterpret_cast<Pair*>(space + at.pairs_at());
        drawn_ = reinterpret_cast<int32_t*>(space + at.drawn_at());
        positive_distances_ = space + at.of_pairs_at();
        weights_ = positive_distances_ + kTilePairs;
        user_norms_ = weights_ + kTilePairs;
        own_ = user_norms_ + kTilePairs;
        pulls_ = own_ + kTilePairs;
        item_norms_ = space + at.of_negatives_at();
        totals_ = item_norms_ + at.negatives();
        pushes_ = space + at.pushes_at();
        users_ = space + at.users_at();
        columns_ = space + at.columns_at();
        positives_ = space + at.positives_at();
        items_ = space + at.items_at();
        slots_ = {reinterpret_cast<int32_t*>(space + at.slot_rows_at()), space + at.gradients_at(),
                  at.stride()};
    }

    // Slots in the working memory, for who has none elsewhere.
    CML_FN const TileSlots& slots() const { return slots_; }

    // Visit [begin, end), of one epoch. If the items are fixed, gradients are taken for the users
    // alone. Returns whether all rows were fit for use; otherwise the gradients mean nothing.
    CML_LARGE_FN bool visit(int64_t begin, int64_t end, bool items_fixed, const TileSlots& slots,
                            Counters& counters) {
        const int64_t epoch = begin / job_.likes.n_pairs;
        const int n_pairs = static_cast<int>(end - begin);
        const int blocks = groups_of(n_pairs, kLanes);
        const int n = job_.hyper.n_negatives;
        // Whoever is still busy with the last tile reads slots, which are written after a sync
        // only.
        team_.each(blocks, [&](int64_t block) CML_INLINE_LAMBDA {
            draw_block(block * kLanes, begin, end, epoch, counters);
        });
        draw_shared<Lanes>(job_, team_, epoch, begin - epoch * job_.likes.n_pairs, drawn_);
        team_.sync();
        fetch(n_pairs);
        const float largest = largest_norm(items_fixed);
        bool fit = true;
        team_.each(blocks * kLanes, [&](int64_t i) CML_INLINE_LAMBDA {
            fit &= take_pair(i, i < n_pairs) <= largest;
        });
        team_.each(n, [&](int64_t k) CML_INLINE_LAMBDA { fit &= take_negative(k) <= largest; });
        team_.sync();
        take_distances(blocks);
        team_.sync();
        team_.each(n_pairs, [&](int64_t i) CML_INLINE_LAMBDA { mask(i); });
        team_.sync();
        team_.each(blocks,
                   [&](int64_t block) CML_INLINE_LAMBDA { evaluate(block * kLanes, counters); });
        team_.sync();
        if (!items_fixed) {
            team_.each(n, [&](int64_t k) CML_INLINE_LAMBDA { add_pushes(k, blocks, slots); });
            team_.sync();
        }
        team_.each(kTilePairs, [&](int64_t i) CML_INLINE_LAMBDA { name_rows(i, n_pairs, slots); });
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            user_gradients(c, part, n_pairs, slots);
            if (!items_fixed) {
                positive_gradients(c, part, n_pairs, slots);
                negative_gradients(c, part, n_pairs, slots);
            }
        });
        return team_.all(fit);
    }

 private:
    static constexpr int kRows = Lanes::kProductRows;
    static constexpr int64_t kColumns = Lanes::kColumns;

    CML_FN int64_t n_chunks() const { return (job_.hyper.n_dims + kLanes - 1) / kLanes; }
    CML_FN int64_t stride() const { return tile_stride(n_chunks()); }

    // Pairs and their weights; a pair that is not there, or has no negatives, weighs nothing.
    CML_FN void draw_block(int64_t i, int64_t begin, int64_t end, int64_t epoch,
                           Counters& counters) {
        const int count = draw_pairs<Lanes>(job_, begin + i, end, epoch, pairs_ + i);
        int64_t skipped = 0;
        for (int k = 0; k < count; ++k) skipped += n_free(pairs_[i + k], job_) > 0 ? 0 : 1;
        counters.pairs += count;
        counters.skipped += skipped;
        Lanes::each(kLanes, [&](int k) CML_INLINE_LAMBDA {
            const Pair& pair = pairs_[i + k];
            weights_[i + k] = k < count && n_free(pair, job_) > 0 ? pair.weight : 0.0f;
        });
    }

    // All rows are asked for.
    CML_FN void fetch(int n_pairs) const {
        team_.each(n_pairs, [&](int64_t i) CML_INLINE_LAMBDA {
            chunks_.fetch(row_of(job_.users, pairs_[i].user));
            chunks_.fetch(row_of(job_.items, pairs_[i].positive));
        });
        team_.each(job_.hyper.n_negatives, [&](int64_t k) CML_INLINE_LAMBDA {
            chunks_.fetch(row_of(job_.items, drawn_[k]));
        });
    }

    // The largest squared norm of a row. The sums of mini-batches are made for rows in the ball,
    // and what is at most twice as far out.
    CML_FN float largest_norm(bool items_fixed) const {
        const float twice = 2.0f * job_.hyper.max_norm;
        return job_.batch_size > 0 && !items_fixed ? twice * twice : kLargestGradient;
    }

    // Copy a pair's rows, the user's also into a column; zeros for a pair that is not there.
    // Returns the sum of their squared norms.
    CML_FN float take_pair(int64_t i, bool there) {
        const float* const from[2] = {row_of(job_.users, there ? pairs_[i].user : 0),
                                      row_of(job_.items, there ? pairs_[i].positive : 0)};
        float* const user = users_ + i * stride();
        float* const positive = positives_ + i * stride();
        Lanes sums[4];  // of the squares: user, positive, their distance; four are summed at once
        CML_UNROLL
        for (int t = 0; t < 4; ++t) sums[t] = Lanes::splat(0.0f);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const Lanes keep = Lanes::splat(there ? 1.0f : 0.0f);
            const Lanes u = keep * memory_.load(from[0] + c * kLanes, part);
            const Lanes v = keep * memory_.load(from[1] + c * kLanes, part);
            u.store(user + c * kLanes, part);
            v.store(positive + c * kLanes, part);
            sums[0].add(u * u, part);
            sums[1].add(v * v, part);
            sums[2].add((u - v) * (u - v), part);
        });
        float squares[4];
        Lanes::sum(sums, squares);
        Lanes::put(user_norms_ + i, squares[0]);
        Lanes::put(positive_distances_ + i, squares[2]);
        Lanes::sync();
        Lanes::each(job_.hyper.n_dims,
                    [=](int d) CML_INLINE_LAMBDA { columns_[d * kColumns + i] = user[d]; });
        return squares[0] + squares[1];
    }

    CML_FN float take_negative(int64_t k) {
        const float* const from = row_of(job_.items, drawn_[k]);
        float* const to = items_ + k * stride();
        Lanes sums = Lanes::splat(0.0f);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const Lanes v = memory_.load(from + c * kLanes, part);
            v.store(to + c * kLanes, part);
            sums.add(v * v, part);
        });
        float norm[1];
        Lanes::sum({sums}, norm);
        Lanes::put(item_norms_ + k, norm[0]);
        return norm[0];
    }

    CML_FN void take_distances(int blocks) {
        const int n = job_.hyper.n_negatives;
        const Lanes minus_two = Lanes::splat(-2.0f);
        for (int block = 0; block < blocks; ++block) {
            const Lanes norms = Lanes::load(user_norms_ + block * kLanes, Full{});
            team_.each(groups_of(n, kRows), [&](int64_t group) CML_INLINE_LAMBDA {
                const int64_t k = group * kRows;
                product<Lanes>(job_.hyper.n_dims, {items_ + k * stride(), stride(), 1},
                               columns_ + block * kLanes, kColumns, Full{},
                               [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                                   if (k + m >= n) return;
                                   const Lanes sum = norms + Lanes::splat(item_norms_[k + m]);
                                   larger(fma(minus_two, x, sum), Lanes::splat(0.0f))
                                       .store(pushes_ + (k + m) * kColumns + block * kLanes,
                                              Full{});
                               });
            });
        }
    }

    CML_FN void mask(int64_t i) {
        const Pair& pair = pairs_[i];
        float* const distances = pushes_ + i;
        find_liked<Lanes>(job_, job_.likes.indices + pair.row_begin, pair.n_liked, drawn_,
                          [=](int64_t k) CML_INLINE_LAMBDA { distances[k * kColumns] = INFINITY; });
    }

    CML_FN void evaluate(int64_t i, Counters& counters) {
        const Lanes positive = Lanes::load(positive_distances_ + i, Full{});
        const Lanes weight = Lanes::load(weights_ + i, Full{});
        const Hyperparameters& hyper = job_.hyper;
        auto with = [&](const auto& loss) CML_INLINE_LAMBDA {
            return loss.evaluate(positive, weight, pushes_ + i, kColumns, hyper.n_negatives);
        };
        const TileTerms<Lanes> terms =
            hyper.loss == Loss::kSoftmax
                ? with(SoftmaxLoss{hyper.inverse_temperature, hyper.correction})
                : with(ContrastiveLoss{hyper.margin, hyper.negative_weight});
        terms.own.store(own_ + i, Full{});
        terms.pull.store(pulls_ + i, Full{});
        const Lanes impostors = keep_where_above(weight, 0.0f, terms.impostors);
        float sums[2];
        Lanes::sum({terms.loss, impostors}, sums);
        counters.loss += sums[0];
        counters.impostors += static_cast<int64_t>(sums[1]);
        counters.active += count_bits(Lanes::where_above(terms.pull, 0.0f));
    }

    // The sum of all pushes of a negative, and whether there are any.
    CML_FN void add_pushes(int64_t k, int blocks, const TileSlots& slots) {
        Lanes sums = Lanes::splat(0.0f);
        for (int block = 0; block < blocks; ++block) {
            sums = sums + Lanes::load(pushes_ + k * kColumns + block * kLanes, Full{});
        }
        float total[1];
        Lanes::sum({sums}, total);
        Lanes::put(totals_ + k, total[0]);
        Lanes::put(slots.rows + 2 * kTilePairs + k, total[0] > 0.0f ? drawn_[k] : -1);
    }

    CML_FN void name_rows(int64_t i, int n_pairs, const TileSlots& slots) const {
        const bool there = i < n_pairs && pulls_[i] > 0.0f;
        Lanes::put(slots.rows + i, there ? pairs_[i].user : -1);
        Lanes::put(slots.rows + kTilePairs + i, there ? pairs_[i].positive : -1);
    }

    template <class Part>
    CML_FN void user_gradients(int c, Part part, int n_pairs, const TileSlots& slots) const {
        team_.each(groups_of(n_pairs, kRows), [&](int64_t group) CML_INLINE_LAMBDA {
            const int64_t i = group * kRows;
            product<Lanes>(job_.hyper.n_negatives, {pushes_ + i, 1, kColumns}, items_ + c * kLanes,
                           stride(), part, [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                               if (i + m >= n_pairs) return;
                               const int64_t at = (i + m) * stride() + c * kLanes;
                               const Lanes u = Lanes::load(users_ + at, part);
                               const Lanes v = Lanes::load(positives_ + at, part);
                               const Lanes own = Lanes::splat(own_[i + m]);
                               const Lanes pull = Lanes::splat(pulls_[i + m]);
                               (x + (own * u - pull * v))
                                   .store(slots.gradients + (i + m) * slots.stride + c * kLanes,
                                          part);
                           });
        });
    }

    template <class Part>
    CML_FN void positive_gradients(int c, Part part, int n_pairs, const TileSlots& slots) const {
        team_.each(n_pairs, [&](int64_t i) CML_INLINE_LAMBDA {
            const int64_t at = i * stride() + c * kLanes;
            const Lanes u = Lanes::load(users_ + at, part);
            const Lanes v = Lanes::load(positives_ + at, part);
            (Lanes::splat(pulls_[i]) * (v - u))
                .store(slots.gradients + (kTilePairs + i) * slots.stride + c * kLanes, part);
        });
    }

    template <class Part>
    CML_FN void negative_gradients(int c, Part part, int n_pairs, const TileSlots& slots) const {
        const int n = job_.hyper.n_negatives;
        float* const gradients = slots.gradients + 2 * kTilePairs * slots.stride;
        team_.each(groups_of(n, kRows), [&](int64_t group) CML_INLINE_LAMBDA {
            const int64_t k = group * kRows;
            product<Lanes>(n_pairs, {pushes_ + k * kColumns, kColumns, 1}, users_ + c * kLanes,
                           stride(), part, [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                               if (k + m >= n) return;
                               const Lanes v =
                                   Lanes::load(items_ + (k + m) * stride() + c * kLanes, part);
                               (x - Lanes::splat(totals_[k + m]) * v)
                                   .store(gradients + (k + m) * slots.stride + c * kLanes, part);
                           });
        });
    }

    const Job& job_;
    Memory memory_;
    Team team_;
    Chunks<Lanes, 0> chunks_;
    Pair* pairs_;
    int32_t* drawn_;             // the negatives
    float* positive_distances_;  // of each pair, and so on
    float* weights_;
    float* user_norms_;  // squared
    float* own_;
    float* pulls_;
    float* item_norms_;  // of each negative, squared
    float* totals_;
    float* pushes_;   // of each negative and pair; distances at first
    float* users_;    // of each pair, its user's row
    float* columns_;  // the same, as columns
    float* positives_;
    float* items_;  // of each negative
    TileSlots slots_;
};

}  // namespace CML_TARGET
}  // namespace cml
