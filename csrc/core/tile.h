// The gradients of pairs that share their negatives: a tile of up to kTilePairs successive samples.
//
// They take three matrix products and the loss:
//
//   1. distances of all users to all negatives               |u|^2 + |v|^2 - 2 V U^T
//   2. the loss turns them into coefficients N of negatives  (losses/softmax.h, contrastive.h)
//   3. gradients of the users and of the negatives           N^T V,  N U
//
// So each row is read once, and each shared negative is updated once for all pairs. This file does
// not change the tables: it writes the gradients to the slots of the tile, see TileSlots.
//
// A `Team` divides the work: a single CPU thread, or the warps of one or several CUDA blocks.
//   each(n, f)           f(0) ... f(n - 1), each called by one member
//   each(n, f, earlier)  the same, where so many calls were divided since the last sync(): the
//                        members go on in turn
//   sync()               after it, every member sees what the others wrote
#pragma once

#include "losses/registry.h"
#include "product.h"
#include "rows.h"
#include "shared_negatives.h"
#include "update.h"
#include "workspace.h"

namespace cml {
inline namespace CML_TARGET {

static_assert(sizeof(Pair) == TileParts::kFloatsInPair * sizeof(float), "see workspace.h");

// kRowChunks: the number of chunks of a row if registers hold a row while it is copied, so that all
// of its loads are in flight at once; 0: it is copied chunk by chunk.
template <class Lanes, class Memory, class Team, int kRowChunks = 0>
class Tile {
 public:
    CML_FN Tile(const Job& job, Memory memory, Team team, float* workspace)
        : job_(job), memory_(memory), team_(team), chunks_{job.hyper.n_dims} {
        const TileParts at{job.hyper.n_negatives, n_chunks(), kColumns};
        pairs_ = reinterpret_cast<Pair*>(workspace + at.pairs_at());
        drawn_ = reinterpret_cast<int32_t*>(workspace + at.drawn_at());
        positive_distances_ = workspace + at.of_pairs_at();
        weights_ = positive_distances_ + kTilePairs;
        user_norms_ = weights_ + kTilePairs;
        user_coefficients_ = user_norms_ + kTilePairs;
        positive_coefficients_ = user_coefficients_ + kTilePairs;
        item_norms_ = workspace + at.of_negatives_at();
        coefficient_sums_ = item_norms_ + at.negatives();
        coefficients_ = workspace + at.coefficients_at();
        users_ = workspace + at.users_at();
        columns_ = workspace + at.columns_at();
        positives_ = workspace + at.positives_at();
        items_ = workspace + at.items_at();
        slots_ = {reinterpret_cast<int32_t*>(workspace + at.slot_rows_at()),
                  workspace + at.gradients_at(), at.stride()};
    }

    // Slots in the workspace, for callers that have none elsewhere.
    CML_FN const TileSlots& slots() const { return slots_; }

    // Draw the pairs and the negatives of a tile. Members that are still busy with the previous one
    // only read slots.
    CML_LARGE_FN void draw(SampleRange tile) {
        draw_all(tile);
        team_.sync();
        const int n_pairs = count(tile);
        team_.each(fetches(n_pairs), [&](int64_t i) CML_INLINE_LAMBDA { fetch(i, n_pairs); });
    }

    // Compute the gradients of a tile, which has been drawn; if the items are fixed, only those of
    // the users. Returns whether the norms of all rows that this member loaded were below the
    // bound; if any were not, the gradients must not be used. After a sync(), every member sees all
    // gradients. Then the upcoming tile is drawn, if there is one and this device prefetches
    // rows: they arrive during the last products.
    CML_LARGE_FN bool compute_gradients(SampleRange tile, SampleRange upcoming, bool items_fixed,
                                        const TileSlots& slots, Counters& counters) {
        const int n_pairs = count(tile);
        const int blocks = groups_of(n_pairs, kLanes);
        const int n = job_.hyper.n_negatives;
        const float largest = largest_norm(items_fixed);
        bool bounded = true;
        constexpr int kGroup = Lanes::kRowsTransposed;
        team_.each(blocks * kLanes / kGroup, [&](int64_t group) CML_INLINE_LAMBDA {
            const int64_t first = group * kGroup;
            for (int64_t i = first; i < first + kGroup; ++i) {
                bounded &= load_pair(i, i < n_pairs) <= largest;
            }
            if constexpr (kGroup > 1) {
                Lanes::transpose(users_ + first * stride(), stride(), columns_ + first, kColumns,
                                 job_.hyper.n_dims);
            }
        });
        const auto load = [&](int64_t k)
                              CML_INLINE_LAMBDA { bounded &= load_negative(k) <= largest; };
        team_.each(n, load, blocks * kLanes / kGroup);
        team_.sync();
        compute_distances(blocks);
        team_.sync();
        const typename Lanes::Sieve sieve(drawn_, n);
        team_.each(n_pairs, [&](int64_t i) CML_INLINE_LAMBDA { mask_liked(i, sieve); });
        team_.sync();
        team_.each(blocks,
                   [&](int64_t block) CML_INLINE_LAMBDA { evaluate(block * kLanes, counters); });
        team_.sync();
        if (!items_fixed) {
            team_.each(n, [&](int64_t k) CML_INLINE_LAMBDA { sum_coefficients(k, blocks, slots); });
            team_.sync();
        }
        team_.each(tile_size(),
                   [&](int64_t i) CML_INLINE_LAMBDA { finish_pair(i, n_pairs, slots, counters); });
        if constexpr (Lanes::kPrefetches) begin_to_fetch(upcoming);
        const int user_calls = groups_of(n_pairs, kRows), calls = user_calls + groups_of(n, kRows);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            user_gradients(c, part, n_pairs, slots, c * calls);
            if (!items_fixed) {
                positive_gradients(c, part, n_pairs, slots);
                negative_gradients(c, part, n_pairs, slots, c * calls + user_calls);
            }
        });
        return bounded;
    }

 private:
    static constexpr int kRows = Lanes::kProductRows;
    static constexpr int64_t kColumns = Lanes::kColumns;
    static constexpr int kFetchesAtOnce = 2;

    CML_FN int64_t n_chunks() const { return (job_.hyper.n_dims + kLanes - 1) / kLanes; }
    CML_FN int64_t stride() const { return tile_stride(n_chunks()); }
    CML_FN int64_t tile_size() const { return job_.hyper.tile_size; }

    CML_FN void draw_all(SampleRange tile) {
        const int64_t epoch = tile.begin / job_.likes.n_pairs;
        team_.each(groups_of(count(tile), kLanes), [&](int64_t block) CML_INLINE_LAMBDA {
            draw_block(block * kLanes, tile, epoch);
        });
        draw_shared<Lanes>(job_, team_, epoch, tile.begin - epoch * job_.likes.n_pairs, drawn_);
    }

    static CML_FN int count(SampleRange tile) { return static_cast<int>(tile.end - tile.begin); }

    // Draw a pair block and store the weights of its pairs. The weight is 0 where there is no pair,
    // or no negative for it.
    CML_FN void draw_block(int64_t i, SampleRange tile, int64_t epoch) {
        const int count = draw_pairs<Lanes>(job_, tile.begin + i, tile.end, epoch, pairs_ + i);
        Lanes::each(kLanes, [&](int k) CML_INLINE_LAMBDA {
            const Pair& pair = pairs_[i + k];
            weights_[i + k] = k < count && n_free(pair, job_) > 0 ? pair.weight : 0.0f;
        });
    }

    // The rows of a tile are prefetched two by two: the i-th row of the pairs, which have two each,
    // and that of the i-th negative.
    CML_FN int fetches(int n_pairs) const {
        const int n = job_.hyper.n_negatives;
        return 2 * n_pairs > n ? 2 * n_pairs : n;
    }

    CML_FN void fetch(int64_t i, int n_pairs) const {
        if (i < 2 * n_pairs) {
            const Pair& pair = pairs_[i / 2];
            chunks_.fetch(i % 2 == 0 ? row_of(job_.users, pair.user)
                                     : row_of(job_.items, pair.positive));
        }
        if (i < job_.hyper.n_negatives) chunks_.fetch(row_of(job_.items, drawn_[i]));
    }

    // Draw the upcoming tile. What was drawn for the current one is not needed any more.
    CML_FN void begin_to_fetch(SampleRange upcoming) {
        fetched_ = 0;
        n_upcoming_ = upcoming.begin < upcoming.end ? count(upcoming) : 0;
        if (n_upcoming_ > 0) draw_all(upcoming);
    }

    // Prefetch a few of its rows. More at a time would have to wait for each other.
    CML_FN void fetch_some() {
        if constexpr (Lanes::kPrefetches) {
            const int end = n_upcoming_ > 0 ? fetches(n_upcoming_) : 0;
            for (int k = 0; k < kFetchesAtOnce && fetched_ < end; ++k)
                fetch(fetched_++, n_upcoming_);
        }
    }

    // The largest squared norm that rows may have. The fixed-point sums of mini-batches have room
    // for rows up to twice the radius of the ball.
    CML_FN float largest_norm(bool items_fixed) const {
        const float twice = 2.0f * job_.hyper.max_norm;
        return job_.batch_size > 0 && !items_fixed ? twice * twice : kLargestSquaredGradient;
    }

    // Call f(c, part, x) for each chunk of some rows of the tables, x[i] being that of row i.
    template <int n, class F>
    CML_FN void each_chunk_of(const float* const (&rows)[n], F f) const {
        const Chunks<Lanes, kRowChunks> chunks{job_.hyper.n_dims};
        const auto load = [&](int c, auto part, Lanes(&x)[n]) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int i = 0; i < n; ++i) x[i] = memory_.load(rows[i] + c * kLanes, part);
        };
        if constexpr (kRowChunks > 0) {
            Lanes held[kRowChunks][n];
            chunks.each([&](int c, auto part) CML_INLINE_LAMBDA { load(c, part, held[c]); });
            chunks.each([&](int c, auto part) CML_INLINE_LAMBDA { f(c, part, held[c]); });
        } else {
            chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
                Lanes x[n];
                load(c, part, x);
                f(c, part, x);
            });
        }
    }

    // Copy the rows of a pair to the workspace; zeros if the pair does not exist. Returns the sum
    // of their squared norms.
    CML_FN float load_pair(int64_t i, bool exists) {
        const float* const from[2] = {row_of(job_.users, exists ? pairs_[i].user : 0),
                                      row_of(job_.items, exists ? pairs_[i].positive : 0)};
        float* const user = users_ + i * stride();
        float* const positive = positives_ + i * stride();
        Lanes sums[4];  // of the squares: user, positive, their difference; sum() takes 4, not 3
        CML_UNROLL
        for (int t = 0; t < 4; ++t) sums[t] = Lanes::splat(0.0f);
        each_chunk_of(from, [&](int c, auto part, const Lanes(&rows)[2]) CML_INLINE_LAMBDA {
            const Lanes keep = Lanes::splat(exists ? 1.0f : 0.0f);
            const Lanes u = keep * rows[0];
            const Lanes v = keep * rows[1];
            u.store(user + c * kLanes, part);
            v.store(positive + c * kLanes, part);
            if constexpr (Lanes::kRowsTransposed == 1) {
                u.store_column(columns_ + c * kLanes * kColumns + i, kColumns, part);
            }
            sums[0].add(u * u, part);
            sums[1].add(v * v, part);
            sums[2].add((u - v) * (u - v), part);
        });
        float squares[4];
        Lanes::sum(sums, squares);
        Lanes::put(user_norms_ + i, squares[0]);
        Lanes::put(positive_distances_ + i, squares[2]);
        return squares[0] + squares[1];
    }

    // Copy the row of a negative to the workspace. Returns its squared norm.
    CML_FN float load_negative(int64_t k) {
        const float* const from[1] = {row_of(job_.items, drawn_[k])};
        float* const to = items_ + k * stride();
        Lanes sums = Lanes::splat(0.0f);
        each_chunk_of(from, [&](int c, auto part, const Lanes(&row)[1]) CML_INLINE_LAMBDA {
            row[0].store(to + c * kLanes, part);
            sums.add(row[0] * row[0], part);
        });
        float norm[1];
        Lanes::sum({sums}, norm);
        Lanes::put(item_norms_ + k, norm[0]);
        return norm[0];
    }

    // Squared distances from all users to all negatives, where the coefficients will be.
    CML_FN void compute_distances(int blocks) {
        const int n = job_.hyper.n_negatives;
        const Lanes minus_two = Lanes::splat(-2.0f);
        const int groups = groups_of(n, kRows);
        for (int block = 0; block < blocks; ++block) {
            const Lanes norms = Lanes::load(user_norms_ + block * kLanes, Full{});
            const auto distances = [&](int64_t group) CML_INLINE_LAMBDA {
                const int64_t k = group * kRows;
                product<Lanes>(job_.hyper.n_dims, {items_ + k * stride(), stride(), 1},
                               columns_ + block * kLanes, kColumns, Full{},
                               [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                                   if (k + m >= n) return;
                                   const Lanes sum = norms + Lanes::splat(item_norms_[k + m]);
                                   larger(fma(minus_two, x, sum), Lanes::splat(0.0f))
                                       .store(coefficients_ + (k + m) * kColumns + block * kLanes,
                                              Full{});
                               });
            };
            team_.each(groups, distances, block * groups);
        }
    }

    // Make the distances from a user to the negatives that the user likes infinite.
    CML_FN void mask_liked(int64_t i, const typename Lanes::Sieve& sieve) {
        const Pair& pair = pairs_[i];
        float* const distances = coefficients_ + i;
        find_liked<Lanes>(job_, job_.likes.indices + pair.row_begin, pair.n_liked, drawn_, sieve,
                          [=](int64_t k) CML_INLINE_LAMBDA { distances[k * kColumns] = INFINITY; });
    }

    // Call the loss for the pair block that begins with pair i.
    CML_FN void evaluate(int64_t i, Counters& counters) {
        const Lanes positive = Lanes::load(positive_distances_ + i, Full{});
        const Lanes weight = Lanes::load(weights_ + i, Full{});
        const PairBlockLoss<Lanes> loss =
            with_shared_negative_loss(job_, [&](const auto& policy) CML_INLINE_LAMBDA {
                return policy.evaluate(positive, weight, coefficients_ + i, kColumns,
                                       job_.hyper.n_negatives);
            });
        loss.user_coefficient.store(user_coefficients_ + i, Full{});
        loss.positive_coefficient.store(positive_coefficients_ + i, Full{});
        const Lanes impostors = keep_where_above(weight, 0.0f, loss.impostors);
        float sums[2];
        Lanes::sum({loss.loss, impostors}, sums);
        counters.loss += sums[0];
        counters.impostors += static_cast<int64_t>(sums[1]);
        counters.active += count_bits(Lanes::where_above(loss.positive_coefficient, 0.0f));
    }

    // Add up the coefficients of a negative over all pairs. If the sum is 0, the negative does not
    // change and its slot stays empty.
    CML_FN void sum_coefficients(int64_t k, int blocks, const TileSlots& slots) {
        Lanes sums = Lanes::splat(0.0f);
        for (int block = 0; block < blocks; ++block) {
            sums = sums + Lanes::load(coefficients_ + k * kColumns + block * kLanes, Full{});
        }
        float total[1];
        Lanes::sum({sums}, total);
        Lanes::put(coefficient_sums_ + k, total[0]);
        Lanes::put(slots.rows + 2 * tile_size() + k, total[0] > 0.0f ? drawn_[k] : -1);
    }

    // Count a pair, and write which rows its slots belong to, or -1 if it changes nothing.
    CML_FN void finish_pair(int64_t i, int n_pairs, const TileSlots& slots,
                            Counters& counters) const {
        if (i < n_pairs) {
            ++counters.pairs;
            counters.skipped += n_free(pairs_[i], job_) > 0 ? 0 : 1;
        }
        const bool active = i < n_pairs && positive_coefficients_[i] > 0.0f;
        Lanes::put(slots.rows + i, active ? pairs_[i].user : -1);
        Lanes::put(slots.rows + tile_size() + i, active ? pairs_[i].positive : -1);
    }

    template <class Part>
    CML_FN void user_gradients(int c, Part part, int n_pairs, const TileSlots& slots, int earlier) {
        const auto gradients = [&](int64_t group) CML_INLINE_LAMBDA {
            fetch_some();
            const int64_t i = group * kRows;
            product<Lanes>(
                job_.hyper.n_negatives, {coefficients_ + i, 1, kColumns}, items_ + c * kLanes,
                stride(), part, [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                    if (i + m >= n_pairs) return;
                    const int64_t at = (i + m) * stride() + c * kLanes;
                    const Lanes u = Lanes::load(users_ + at, part);
                    const Lanes v = Lanes::load(positives_ + at, part);
                    const Lanes of_user = Lanes::splat(user_coefficients_[i + m]);
                    const Lanes of_positive = Lanes::splat(positive_coefficients_[i + m]);
                    (x + (of_user * u - of_positive * v))
                        .store(slots.gradients + (i + m) * slots.stride + c * kLanes, part);
                });
        };
        team_.each(groups_of(n_pairs, kRows), gradients, earlier);
    }

    template <class Part>
    CML_FN void positive_gradients(int c, Part part, int n_pairs, const TileSlots& slots) const {
        team_.each(n_pairs, [&](int64_t i) CML_INLINE_LAMBDA {
            const int64_t at = i * stride() + c * kLanes;
            const Lanes u = Lanes::load(users_ + at, part);
            const Lanes v = Lanes::load(positives_ + at, part);
            (Lanes::splat(positive_coefficients_[i]) * (v - u))
                .store(slots.gradients + (tile_size() + i) * slots.stride + c * kLanes, part);
        });
    }

    template <class Part>
    CML_FN void negative_gradients(int c, Part part, int n_pairs, const TileSlots& slots,
                                   int earlier) {
        const int n = job_.hyper.n_negatives;
        float* const to = slots.gradients + 2 * tile_size() * slots.stride;
        const auto gradients = [&](int64_t group) CML_INLINE_LAMBDA {
            fetch_some();
            const int64_t k = group * kRows;
            product<Lanes>(
                n_pairs, {coefficients_ + k * kColumns, kColumns, 1}, users_ + c * kLanes, stride(),
                part, [&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                    if (k + m >= n) return;
                    const Lanes v = Lanes::load(items_ + (k + m) * stride() + c * kLanes, part);
                    (x - Lanes::splat(coefficient_sums_[k + m]) * v)
                        .store(to + (k + m) * slots.stride + c * kLanes, part);
                });
        };
        team_.each(groups_of(n, kRows), gradients, earlier);
    }

    const Job& job_;
    Memory memory_;
    Team team_;
    Chunks<Lanes, 0> chunks_;
    Pair* pairs_;
    int32_t* drawn_;  // the negatives
    // For each pair:
    float* positive_distances_;
    float* weights_;
    float* user_norms_;  // squared
    float* user_coefficients_;
    float* positive_coefficients_;
    // For each negative:
    float* item_norms_;        // squared
    float* coefficient_sums_;  // of its coefficients, over all pairs
    // Matrices:
    float* coefficients_;  // of each negative (row) and pair (column); distances at first
    float* users_;         // rows of the users
    float* columns_;       // the same, transposed
    float* positives_;     // rows of the positives
    float* items_;         // rows of the negatives
    TileSlots slots_;
    // Of the upcoming tile: its pairs, and how far its rows have been prefetched.
    int n_upcoming_ = 0;
    int fetched_ = 0;
};

}  // namespace CML_TARGET
}  // namespace cml
