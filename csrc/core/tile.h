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
// A `Team` divides the work: a single CPU thread, or the warps of one or several CUDA blocks. It is
// made of groups (the warps of a block), which meet sooner than the whole team. So each group works
// on pairs of its own until their coefficients are known, and on their gradients; the team meets
// only before and after the coefficients.
//   each(n, f)           f(0) ... f(n - 1), each called by one member
//   each(n, f, earlier)  the same, where so many calls were divided since the last sync(): the
//                        members go on in turn
//   sync()               after it, every member sees what the others wrote
//   own(n)               those of n things that this group has, if they are dealt out to all groups
//   each_in_group(n, f, earlier), sync_group()   the same in this group
#pragma once

#include "losses/registry.h"
#include "product.h"
#include "rows.h"
#include "shared_negatives.h"
#include "update.h"
#include "workspace.h"

namespace cml {
inline namespace CML_TARGET {

// The things first, first + step, ...
struct Share {
    int first, step, count;
};

static_assert(sizeof(Pair) == TileParts::kFloatsInPair * sizeof(float), "see workspace.h");

// kRowChunks: the number of chunks of a row if registers hold a row while it is copied, so that all
// of its loads are in flight at once; 0: it is copied chunk by chunk.
template <class Lanes, class Memory, class Team, int kRowChunks = 0>
class Tile {
 public:
    CML_FN Tile(const Job& job, Memory memory, Team team, float* workspace)
        : job_(job), memory_(memory), team_(team), chunks_{job.hyper.n_dims} {
        const TileParts at{job.hyper.n_negatives, n_chunks(), Lanes::kInLane};
        pairs_ = reinterpret_cast<Pair*>(workspace + at.pairs_at());
        drawn_ = reinterpret_cast<int32_t*>(workspace + at.drawn_at());
        positive_distances_ = workspace + at.of_pairs_at();
        weights_ = positive_distances_ + kTilePairs;
        user_norms_ = weights_ + kTilePairs;
        user_coefficients_ = user_norms_ + kTilePairs;
        positive_coefficients_ = user_coefficients_ + kTilePairs;
        losses_ = positive_coefficients_ + kTilePairs;
        impostors_ = losses_ + kTilePairs;
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
        if constexpr (Lanes::kPrefetches) {
            const int n_pairs = count(tile);
            team_.each(fetches(n_pairs), [&](int64_t i) CML_INLINE_LAMBDA { fetch(i, n_pairs); });
        }
    }

    // Compute the gradients of a tile, which has been drawn; if the items are fixed, only those of
    // the users. Returns whether the norms of all rows that this member loaded were below the
    // bound; if any were not, the gradients must not be used. After a sync(), every member sees all
    // gradients. Then the upcoming tile is drawn, if there is one and this device prefetches
    // rows: they arrive during the last products.
    CML_LARGE_FN bool compute_gradients(SampleRange tile, SampleRange upcoming, bool items_fixed,
                                        const TileSlots& slots, Counters& counters) {
        const int n_pairs = count(tile), n = job_.hyper.n_negatives;
        const int blocks = groups_of(n_pairs, kLanes), in_blocks = blocks * kLanes;
        const float largest = largest_norm(items_fixed);
        bool bounded = true;
        // Each member loads the negatives that it has drawn, so it need not wait for others.
        Lanes::sync();
        each_call(in_blocks, [&](int64_t call) CML_INLINE_LAMBDA {
            const int64_t first = call * kSharedDrawn;
            for (int64_t k = first; k < first + kSharedDrawn && k < n; k += kNegativesAtOnce) {
                bounded &= load_negatives(k) <= largest;
            }
        });
        team_.sync_group();
        constexpr int kGroup = Lanes::kRowsTransposed;
        each_own<unit(kGroup)>(in_blocks, unit(kGroup) / kGroup, [&](int i) CML_INLINE_LAMBDA {
            for (int k = i; k < i + kGroup; ++k) bounded &= load_pair(k, k < n_pairs) <= largest;
            if constexpr (kPairInLane) {
                Lanes::transpose(users_ + i * stride(), stride(), columns_ + i, kColumnStride,
                                 job_.hyper.n_dims);
            }
        });
        team_.sync();
        compute_distances(in_blocks);
        team_.sync_group();
        const typename Lanes::Sieve sieve(drawn_, n);
        constexpr int kPairs = Lanes::Negatives::kPairs;
        const int all = groups_of(job_.hyper.tile_size, kLanes) * kLanes;
        each_own<unit(kLanes)>(all, unit(kLanes) / kPairs, [&](int first) CML_INLINE_LAMBDA {
            if (first < in_blocks) {
                for (int i = first; i < first + kPairs && i < n_pairs; ++i) mask(i, sieve);
                Lanes::sync();
                evaluate(first);
                Lanes::sync();
            }
            for (int i = first; i < first + kPairs; ++i) finish(i, n_pairs, slots, counters);
        });
        team_.sync();
        if (kPairInLane && !items_fixed) {
            for (int k = 0; k < n; ++k) sum_coefficients(k, blocks, slots);
        }
        if constexpr (Lanes::kPrefetches) begin_to_fetch(upcoming);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const auto gradients = [&](int i) CML_INLINE_LAMBDA {
                pair_gradients(i, c, part, n_pairs, slots);
            };
            each_own<kRows>(n_pairs, 1, gradients, c);
        });
        const int before = static_cast<int>(n_chunks()) * groups_of(n_pairs, kRows);
        const auto of_block = [&](int64_t block) CML_INLINE_LAMBDA { report(block, counters); };
        team_.each(blocks, of_block, before);
        if (items_fixed) return bounded;
        const int groups = groups_of(n, kRows);
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const auto gradients = [&](int64_t group) CML_INLINE_LAMBDA {
                negative_gradients(group * kRows, c, part, n_pairs, slots);
            };
            team_.each(groups, gradients, before + blocks + c * groups);
        });
        return bounded;
    }

 private:
    static constexpr int kRows = Lanes::kProductRows;
    static constexpr int kFetchesAtOnce = 2;
    // What a lane is, and the distances between rows that the lanes read: see workspace.h.
    static constexpr bool kPairInLane = Lanes::kInLane == InLane::kPair;
    static constexpr int64_t kColumnStride = kPairInLane ? kPairColumns : kLanes;
    // Negatives that are copied side by side, as far as registers have room for their rows.
    static constexpr int kNegativesAtOnce = kPairInLane ? 1 : kRowChunks <= 4 ? kSharedDrawn : 2;

    // Pairs that are dealt out to groups together. Where there is only one group, as on the CPU, it
    // may be a different number in every step.
    static constexpr int unit(int of_one_group) { return kPairInLane ? of_one_group : kRows; }

    // Call f(i) for the pairs i that begin a part of a unit of this group. `turn` is how many times
    // that was done since the last sync_group().
    template <int kSize, class F>
    CML_FN void each_own(int n_pairs, int parts, F f, int turn = 0) {
        each_own_with<kSize>(
            n_pairs, parts,
            [&](int i, int part) CML_INLINE_LAMBDA { f(i + part * (kSize / parts)); }, turn);
    }

    // Call f(i, part), i being the first pair of the unit.
    template <int kSize, class F>
    CML_FN void each_own_with(int n_pairs, int parts, F f, int turn = 0) {
        const Share own = team_.own(groups_of(n_pairs, kSize));
        if constexpr (kPairInLane) {
            for (int unit = 0; unit < own.count; ++unit) {
                for (int part = 0; part < parts; ++part) f(unit * kSize, part);
            }
        } else {
            const int n = own.count * parts;
            const auto call = [&](int64_t t) {
                const int unit = static_cast<int>(t) / parts;
                f((own.first + unit * own.step) * kSize, static_cast<int>(t) - unit * parts);
            };
            team_.each_in_group(n, call, turn * n);
        }
    }

    // Call f(call) for each call of the generator of negatives. So the same member always has the
    // same negatives, and one that has no pairs to draw meanwhile, if there is one.
    template <class F>
    CML_FN void each_call(int n_pairs, F f) {
        team_.each(shared_calls(job_), f, groups_of(n_pairs, unit(kLanes)));
    }

    // Element (row, column) of the coefficients, and of the vectors as columns.
    CML_FN float* coefficient(int64_t k, int64_t i) const {
        if constexpr (kPairInLane) return coefficients_ + k * kPairColumns + i;
        return coefficients_ + k / kLanes * kColumnBlock + i * kLanes + k % kLanes;
    }
    CML_FN float* column(int64_t number) const {
        if constexpr (kPairInLane) return columns_ + number;
        return columns_ + number / kLanes * (n_chunks() * kLanes * kLanes) + number % kLanes;
    }

    CML_FN int64_t n_chunks() const {
        return kRowChunks > 0 ? kRowChunks : (job_.hyper.n_dims + kLanes - 1) / kLanes;
    }
    CML_FN int64_t stride() const { return tile_stride(n_chunks()); }
    CML_FN int64_t tile_size() const { return job_.hyper.tile_size; }

    CML_FN void draw_all(SampleRange tile) {
        const int n_pairs = count(tile), in_blocks = groups_of(n_pairs, kLanes) * kLanes;
        const int64_t epoch = tile.begin / job_.likes.n_pairs;
        const int64_t position = tile.begin - epoch * job_.likes.n_pairs;
        each_own<unit(kLanes)>(
            in_blocks, 1, [&](int i) CML_INLINE_LAMBDA { draw_unit(i, n_pairs, tile, epoch); });
        each_call(in_blocks, [&](int64_t call) CML_INLINE_LAMBDA {
            draw_shared<Lanes>(job_, epoch, position, static_cast<int>(call), drawn_);
        });
    }

    static CML_FN int count(SampleRange tile) { return static_cast<int>(tile.end - tile.begin); }

    // Draw the pairs of a unit and store their weights. The weight is 0 where there is no pair, or
    // no negative for it.
    CML_FN void draw_unit(int i, int n_pairs, SampleRange tile, int64_t epoch) {
        constexpr int kSize = unit(kLanes);
        if (i < n_pairs) {
            draw_pairs<Lanes, kSize>(job_, tile.begin + i, tile.end, epoch, pairs_ + i);
        }
        Lanes::each(kSize, [&](int k) CML_INLINE_LAMBDA {
            const Pair& pair = pairs_[i + k];
            weights_[i + k] = i + k < n_pairs && n_free(pair, job_) > 0 ? pair.weight : 0.0f;
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

    // Copy the rows of kNegativesAtOnce negatives to the workspace. Returns the largest of their
    // squared norms.
    CML_FN float load_negatives(int64_t first) {
        const int64_t last = job_.hyper.n_negatives - 1;  // beyond it: that one again
        const float* from[kNegativesAtOnce];
        Lanes sums[kNegativesAtOnce];
        CML_UNROLL
        for (int i = 0; i < kNegativesAtOnce; ++i) {
            from[i] = row_of(job_.items, drawn_[first + i < last ? first + i : last]);
            sums[i] = Lanes::splat(0.0f);
        }
        each_chunk_of(
            from, [&](int c, auto part, const Lanes(&rows)[kNegativesAtOnce]) CML_INLINE_LAMBDA {
                CML_UNROLL
                for (int i = 0; i < kNegativesAtOnce; ++i) {
                    const int64_t k = first + i;
                    sums[i].add(rows[i] * rows[i], part);
                    if (k > last) continue;
                    rows[i].store(items_ + k * stride() + c * kLanes, part);
                    if constexpr (!kPairInLane) {
                        rows[i].store_column(column(k) + c * kLanes * kColumnStride, kColumnStride,
                                             part);
                    }
                }
            });
        float norms[kNegativesAtOnce], most = 0.0f;
        Lanes::sum(sums, norms);
        CML_UNROLL
        for (int i = 0; i < kNegativesAtOnce; ++i) {
            if (first + i <= last) Lanes::put(item_norms_ + first + i, norms[i]);
            if (!(norms[i] <= most)) most = norms[i];  // NaN is not lost
        }
        return most;
    }

    // Squared distances from all users to all negatives, where the coefficients will be.
    CML_FN void compute_distances(int n_pairs) {
        const int n = job_.hyper.n_negatives;
        const Lanes minus_two = Lanes::splat(-2.0f);
        const float* const rows = kPairInLane ? items_ : users_;
        const float* const row_norms = kPairInLane ? item_norms_ : user_norms_;
        const float* const column_norms = kPairInLane ? user_norms_ : item_norms_;
        const auto distances = [&](int i, int part) CML_INLINE_LAMBDA {
            const int row = kPairInLane ? part * kRows : i;
            const int first = kPairInLane ? i : part * kLanes;  // column
            Lanes::prefetch_steps(column(first), kColumnStride, job_.hyper.n_dims);
            ProductSums<Lanes> sums;
            sums.add(job_.hyper.n_dims, RowOperand{rows + row * stride(), stride()}, column(first),
                     kColumnStride, Full{});
            const Lanes norms = Lanes::load(column_norms + first, Full{});
            sums.each([&](int m, const Lanes& x) CML_INLINE_LAMBDA {
                if (kPairInLane && row + m >= n) return;
                const Lanes sum = norms + Lanes::splat(row_norms[row + m]);
                float* const to = kPairInLane ? coefficient(row + m, i) : coefficient(first, i + m);
                larger(fma(minus_two, x, sum), Lanes::splat(0.0f)).store(to, Full{});
            });
        };
        each_own_with<unit(kLanes)>(n_pairs, groups_of(n, kPairInLane ? kRows : kLanes), distances);
    }

    // Make the distances from a user to the negatives that the user likes infinite.
    CML_FN void mask(int i, const typename Lanes::Sieve& sieve) {
        const Pair& pair = pairs_[i];
        find_liked<Lanes>(job_, job_.likes.indices + pair.row_begin, pair.n_liked, drawn_, sieve,
                          [=](int64_t k) CML_INLINE_LAMBDA { *coefficient(k, i) = INFINITY; });
    }

    // Call the loss for the pairs that it takes at once, beginning with pair i.
    CML_FN void evaluate(int i) {
        using Negatives = typename Lanes::Negatives;
        const Negatives negatives{coefficient(0, i), job_.hyper.n_negatives};
        const Lanes positive = Negatives::load_pairs(positive_distances_ + i);
        const Lanes weight = Negatives::load_pairs(weights_ + i);
        const PairBlockLoss<Lanes> loss =
            with_shared_negative_loss(job_, [&](const auto& policy) CML_INLINE_LAMBDA {
                return policy.evaluate(positive, weight, negatives);
            });
        Negatives::store_pairs(user_coefficients_ + i, loss.user_coefficient);
        Negatives::store_pairs(positive_coefficients_ + i, loss.positive_coefficient);
        Negatives::store_pairs(losses_ + i, loss.loss);
        Negatives::store_pairs(impostors_ + i, keep_where_above(weight, 0.0f, loss.impostors));
    }

    // Count a pair, and write which rows its slots belong to, or -1 if it changes nothing.
    CML_FN void finish(int i, int n_pairs, const TileSlots& slots, Counters& counters) const {
        if (i >= tile_size()) return;
        if (i < n_pairs) {
            ++counters.pairs;
            counters.skipped += n_free(pairs_[i], job_) > 0 ? 0 : 1;
        }
        const bool active = i < n_pairs && positive_coefficients_[i] > 0.0f;
        Lanes::put(slots.rows + i, active ? pairs_[i].user : -1);
        Lanes::put(slots.rows + tile_size() + i, active ? pairs_[i].positive : -1);
    }

    // Count what the loss said of a pair block.
    CML_FN void report(int64_t block, Counters& counters) const {
        const int64_t i = block * kLanes;
        float sums[2];
        Lanes::sum({Lanes::load(losses_ + i, Full{}), Lanes::load(impostors_ + i, Full{})}, sums);
        counters.loss += sums[0];
        counters.impostors += static_cast<int64_t>(sums[1]);
        counters.active +=
            count_bits(Lanes::where_above(Lanes::load(positive_coefficients_ + i, Full{}), 0.0f));
    }

    // The gradients of kRows users and of their positives.
    template <class Part>
    CML_FN void pair_gradients(int i, int c, Part part, int n_pairs, const TileSlots& slots) {
        fetch_some();
        const int n = job_.hyper.n_negatives;
        const float* const items = items_ + c * kLanes;
        Lanes::prefetch_steps(items, stride(), n);
        ProductSums<Lanes> sums;
        if constexpr (kPairInLane) {
            sums.add(n, StepOperand{coefficient(0, i), kPairColumns}, items, stride(), part);
        } else {
            for (int k = 0; k < n; k += kLanes) {
                sums.add(n - k < kLanes ? n - k : kLanes, RowOperand{coefficient(k, i), kLanes},
                         items + k * stride(), stride(), part);
            }
        }
        sums.each([&](int m, const Lanes& x) CML_INLINE_LAMBDA {
            if (i + m >= n_pairs) return;
            const int64_t at = (i + m) * stride() + c * kLanes;
            const Lanes u = Lanes::load(users_ + at, part);
            const Lanes v = Lanes::load(positives_ + at, part);
            const Lanes of_user = Lanes::splat(user_coefficients_[i + m]);
            const Lanes of_positive = Lanes::splat(positive_coefficients_[i + m]);
            float* const to = slots.gradients + (i + m) * slots.stride + c * kLanes;
            (x + (of_user * u - of_positive * v)).store(to, part);
            (of_positive * (v - u)).store(to + tile_size() * slots.stride, part);
        });
    }

    // Add up the coefficients of a negative over all pairs. If the sum is 0, the negative does not
    // change and its slot stays empty.
    CML_FN void sum_coefficients(int64_t k, int blocks, const TileSlots& slots) {
        Lanes sums = Lanes::splat(0.0f);
        for (int block = 0; block < blocks; ++block) {
            sums = sums + Lanes::load(coefficient(k, block * kLanes), Full{});
        }
        float total[1];
        Lanes::sum({sums}, total);
        finish_negative(k, total[0], slots);
        coefficient_sums_[k] = total[0];
    }

    // The same for kRows negatives. Members need these sums at once, and all that need them add
    // them up: that takes less time than to meet.
    CML_FN void sum_coefficients(int64_t k, int blocks, float (&totals)[kRows]) const {
        if constexpr (!kPairInLane) {
            Lanes sums[kRows];
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) sums[m] = Lanes::splat(0.0f);
            for (int block = 0; block < blocks; ++block) {
                Lanes x[kRows];
                Lanes::load_columns(coefficient(k, block * kLanes), kLanes, x);
                CML_UNROLL
                for (int m = 0; m < kRows; ++m) sums[m] = sums[m] + x[m];
            }
            Lanes::sum(sums, totals);
        }
    }

    CML_FN void finish_negative(int64_t k, float total, const TileSlots& slots) const {
        Lanes::put(slots.rows + 2 * tile_size() + k, total > 0.0f ? drawn_[k] : -1);
    }

    template <class Part>
    CML_FN void negative_gradients(int64_t k, int c, Part part, int n_pairs,
                                   const TileSlots& slots) {
        fetch_some();
        const int n = job_.hyper.n_negatives;
        float* const to = slots.gradients + (2 * tile_size() + k) * slots.stride + c * kLanes;
        const float* const users = users_ + c * kLanes;
        Lanes::prefetch_steps(users, stride(), n_pairs);
        float totals[kRows];
        ProductSums<Lanes> sums;
        if constexpr (kPairInLane) {
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) totals[m] = coefficient_sums_[k + m];
            sums.add(n_pairs, RowOperand{coefficient(k, 0), kPairColumns}, users, stride(), part);
        } else {
            sum_coefficients(k, groups_of(n_pairs, kLanes), totals);
            sums.add(n_pairs, StepOperand{coefficient(k, 0), kLanes}, users, stride(), part);
        }
        sums.each([&](int m, const Lanes& x) CML_INLINE_LAMBDA {
            if (k + m >= n) return;
            if (!kPairInLane && c == 0) finish_negative(k + m, totals[m], slots);
            const Lanes v = Lanes::load(items_ + (k + m) * stride() + c * kLanes, part);
            (x - Lanes::splat(totals[m]) * v).store(to + m * slots.stride, part);
        });
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
    float* losses_;
    float* impostors_;
    // For each negative:
    float* item_norms_;        // squared
    float* coefficient_sums_;  // of its coefficients, over all pairs; not on CUDA
    // Matrices:
    float* coefficients_;  // of the negatives and pairs, see coefficient(); distances at first
    float* users_;         // rows of the users
    float* columns_;       // of what has a lane, users or negatives, see column()
    float* positives_;     // rows of the positives
    float* items_;         // rows of the negatives
    TileSlots slots_;
    // Of the upcoming tile: its pairs, and how far its rows have been prefetched.
    int n_upcoming_ = 0;
    int fetched_ = 0;
};

}  // namespace CML_TARGET
}  // namespace cml
