// The gradients of pairs that share their negatives: a tile of up to kTilePairs successive samples.
//
// They take three matrix products and the loss:
//
//   1. distances of all users to all negatives               |u|^2 + |v|^2 - 2 V U^T
//   2. the loss turns them into coefficients N of negatives  (losses/softmax.h, contrastive.h)
//   3. gradients of the users and of the negatives           N^T V,  N U
//
// So each row is read once, and each shared negative is updated once for all pairs. The tables are
// not changed: gradients are written to the slots of the tile, see TileSlots.
//
//   tile_arrays.h    where a tile keeps its rows, distances and coefficients
//   tile_rows.h      copies rows from the tables
//   tile_products.h  computes a block of a product
//   this file        draws a tile, goes through its steps, and says who does what
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
//   each_in_group(n, f), sync_group()   the same in this group
//   squad<kStaged>(n)    the member's squad: those of the group that have the same of n groups of
//                        columns of a product
// and a squad has
//   each(c, rows, f)     f(row) for a Share of rows, if it has columns c: each by one member
//   idle()               whether this member was called without a row, as it may be if kStaged: it
//                        only helps to copy, see ProductSums::add_staged()
#pragma once

#include "losses/registry.h"
#include "tile_products.h"
#include "tile_rows.h"
#include "update.h"

namespace cml {
inline namespace CML_TARGET {

// The things first, first + step, ...
struct Share {
    int first, step, count;
};

// kRowChunks: the number of chunks of a row if registers hold a row while it is copied, so that all
// of its loads are in flight at once; 0: it is copied chunk by chunk. kTensorCores: see TileArrays.
template <class Lanes, class Memory, class Team, int kRowChunks = 0, bool kTensorCores = false>
class Tile {
 public:
    CML_FN Tile(const Job& job, Memory memory, Team team, float* workspace)
        : job_(job),
          memory_(memory),
          team_(team),
          chunks_{job.hyper.n_dims},
          arrays_(job, workspace) {}

    // Slots in the workspace, for callers that have none elsewhere.
    CML_FN const TileSlots& slots() const { return arrays_.slots; }

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
        constexpr int kAtOnce = Arrays::kNegativesAtOnce;
        Lanes::sync();
        each_call(in_blocks, [&](int64_t call) CML_INLINE_LAMBDA {
            const int64_t first = call * kSharedDrawn;
            for (int64_t k = first; k < first + kSharedDrawn && k < n; k += kAtOnce) {
                bounded &= load_negatives(arrays_, memory_, k) <= largest;
            }
        });
        team_.sync_group();
        constexpr int kGroup = Lanes::kRowsTransposed;
        each_own<unit(kGroup)>(in_blocks, unit(kGroup) / kGroup, [&](int i) CML_INLINE_LAMBDA {
            for (int k = i; k < i + kGroup; ++k) {
                bounded &= load_pair(arrays_, memory_, k, k < n_pairs) <= largest;
            }
            if constexpr (kPairInLane) {
                Lanes::transpose(arrays_.users + i * arrays_.stride(), arrays_.stride(),
                                 arrays_.columns + i, Arrays::kColumnStride, job_.hyper.n_dims);
            }
        });
        team_.sync();
        const int n_columns = kPairInLane ? blocks : groups_of(n, kColumns);
        const Share rows = team_.own(groups_of(kPairInLane ? n : in_blocks, kRows));
        auto squad = team_.template squad<Arrays::kStaged>(n_columns);
        for (int columns = 0; columns < n_columns; ++columns) {
            squad.each(columns, rows, [&](int row) CML_INLINE_LAMBDA {
                compute_distances(arrays_, row * kRows, columns, squad);
            });
        }
        team_.sync_group();
        const typename Lanes::Sieve sieve(arrays_.drawn, n);
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
            for (int k = 0; k < n; ++k) sum_coefficients(arrays_, k, blocks, slots);
        }
        if constexpr (Lanes::kPrefetches) begin_to_fetch(upcoming);
        team_.each(blocks, [&](int64_t block) CML_INLINE_LAMBDA { report(block, counters); });
        // The same squads for both products: so stages of the one may follow those of the other.
        auto of_row = team_.template squad<Arrays::kStaged>(
            groups_of(static_cast<int>(arrays_.n_chunks()), kChunks));
        const Share of_pairs = team_.own(groups_of(n_pairs, kRows));
        chunks_.template each_group<kChunks>(
            [&](int c, auto n_chunks, auto part) CML_INLINE_LAMBDA {
                of_row.each(c / kChunks, of_pairs, [&](int row) CML_INLINE_LAMBDA {
                    fetch_some();
                    pair_gradients<decltype(n_chunks)::value>(arrays_, row * kRows, c, part,
                                                              n_pairs, slots, of_row);
                });
            });
        if (items_fixed) return bounded;
        const Share of_negatives = team_.own(groups_of(n, kRows));
        chunks_.template each_group<kChunks>(
            [&](int c, auto n_chunks, auto part) CML_INLINE_LAMBDA {
                of_row.each(c / kChunks, of_negatives, [&](int row) CML_INLINE_LAMBDA {
                    fetch_some();
                    negative_gradients<decltype(n_chunks)::value>(arrays_, row * kRows, c, part,
                                                                  n_pairs, slots, of_row);
                });
            });
        return bounded;
    }

 private:
    using Arrays = TileArrays<Lanes, kRowChunks, kTensorCores>;
    static constexpr bool kPairInLane = Arrays::kPairInLane;
    // Of a block of a product.
    static constexpr int kRows = Lanes::kProductRows;
    static constexpr int kChunks = Arrays::kProductChunks, kColumns = kChunks * kLanes;
    static constexpr int kFetchesAtOnce = 2;

    // Pairs that are dealt out to groups together. Where there is only one group, as on the CPU, it
    // may be a different number in every step.
    static constexpr int unit(int of_one_group) { return kPairInLane ? of_one_group : kRows; }

    // Call f(i) for the pairs i that begin a part of a unit of this group.
    template <int kSize, class F>
    CML_FN void each_own(int n_pairs, int parts, F f) {
        const Share own = team_.own(groups_of(n_pairs, kSize));
        team_.each_in_group(own.count * parts, [&](int64_t t) CML_INLINE_LAMBDA {
            const int unit = static_cast<int>(t) / parts, part = static_cast<int>(t) - unit * parts;
            f((own.first + unit * own.step) * kSize + part * (kSize / parts));
        });
    }

    // Call f(call) for each call of the generator of negatives. So the same member always has the
    // same negatives, and one that has no pairs to draw meanwhile, if there is one.
    template <class F>
    CML_FN void each_call(int n_pairs, F f) {
        team_.each(shared_calls(job_), f, groups_of(n_pairs, unit(kLanes)));
    }

    CML_FN int64_t tile_size() const { return job_.hyper.tile_size; }

    CML_FN void draw_all(SampleRange tile) {
        const int n_pairs = count(tile), in_blocks = groups_of(n_pairs, kLanes) * kLanes;
        const int64_t epoch = tile.begin / job_.likes.n_pairs;
        const int64_t position = tile.begin - epoch * job_.likes.n_pairs;
        each_own<unit(kLanes)>(
            in_blocks, 1, [&](int i) CML_INLINE_LAMBDA { draw_unit(i, n_pairs, tile, epoch); });
        each_call(in_blocks, [&](int64_t call) CML_INLINE_LAMBDA {
            draw_shared<Lanes>(job_, epoch, position, static_cast<int>(call), arrays_.drawn);
        });
    }

    static CML_FN int count(SampleRange tile) { return static_cast<int>(tile.end - tile.begin); }

    // Draw the pairs of a unit and store their weights. The weight is 0 where there is no pair, or
    // no negative for it.
    CML_FN void draw_unit(int i, int n_pairs, SampleRange tile, int64_t epoch) {
        constexpr int kSize = unit(kLanes);
        if (i < n_pairs) {
            draw_pairs<Lanes, kSize>(job_, tile.begin + i, tile.end, epoch, arrays_.pairs + i);
        }
        Lanes::each(kSize, [&](int k) CML_INLINE_LAMBDA {
            const Pair& pair = arrays_.pairs[i + k];
            arrays_.weights[i + k] = i + k < n_pairs && n_free(pair, job_) > 0 ? pair.weight : 0.0f;
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
            const Pair& pair = arrays_.pairs[i / 2];
            chunks_.fetch(i % 2 == 0 ? row_of(job_.users, pair.user)
                                     : row_of(job_.items, pair.positive));
        }
        if (i < job_.hyper.n_negatives) chunks_.fetch(row_of(job_.items, arrays_.drawn[i]));
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

    // Make the distances from a user to the negatives that the user likes infinite.
    CML_FN void mask(int i, const typename Lanes::Sieve& sieve) {
        const Pair& pair = arrays_.pairs[i];
        find_liked<Lanes>(
            job_, job_.likes.indices + pair.row_begin, pair.n_liked, arrays_.drawn, sieve,
            [=](int64_t k) CML_INLINE_LAMBDA { *arrays_.coefficient(k, i) = INFINITY; });
    }

    // Call the loss for the pairs that it takes at once, beginning with pair i.
    CML_FN void evaluate(int i) {
        using Negatives = typename Lanes::Negatives;
        const Negatives negatives{arrays_.coefficient(0, i), job_.hyper.n_negatives};
        const Lanes positive = Negatives::load_pairs(arrays_.positive_distances + i);
        const Lanes weight = Negatives::load_pairs(arrays_.weights + i);
        const PairBlockLoss<Lanes> loss =
            with_shared_negative_loss(job_, [&](const auto& policy) CML_INLINE_LAMBDA {
                return policy.evaluate(positive, weight, negatives);
            });
        if (arrays_.rounds()) {
            negatives.replace([](const Lanes& x) CML_INLINE_LAMBDA { return to_bfloat16(x); });
        }
        Negatives::store_pairs(arrays_.user_coefficients + i, loss.user_coefficient);
        Negatives::store_pairs(arrays_.positive_coefficients + i, loss.positive_coefficient);
        Negatives::store_pairs(arrays_.losses + i, loss.loss);
        Negatives::store_pairs(arrays_.impostors + i,
                               keep_where_above(weight, 0.0f, loss.impostors));
    }

    // Count a pair, and write which rows its slots belong to, or -1 if it changes nothing.
    CML_FN void finish(int i, int n_pairs, const TileSlots& slots, Counters& counters) const {
        if (i >= tile_size()) return;
        if (i < n_pairs) {
            ++counters.pairs;
            counters.skipped += n_free(arrays_.pairs[i], job_) > 0 ? 0 : 1;
        }
        const bool active = i < n_pairs && arrays_.positive_coefficients[i] > 0.0f;
        Lanes::put(slots.rows + i, active ? arrays_.pairs[i].user : -1);
        Lanes::put(slots.rows + tile_size() + i, active ? arrays_.pairs[i].positive : -1);
    }

    // Count what the loss said of a pair block.
    CML_FN void report(int64_t block, Counters& counters) const {
        const int64_t i = block * kLanes;
        float sums[2];
        Lanes::sum(
            {Lanes::load(arrays_.losses + i, Full{}), Lanes::load(arrays_.impostors + i, Full{})},
            sums);
        counters.loss += sums[0];
        counters.impostors += static_cast<int64_t>(sums[1]);
        counters.active += count_bits(
            Lanes::where_above(Lanes::load(arrays_.positive_coefficients + i, Full{}), 0.0f));
    }

    const Job& job_;
    Memory memory_;
    Team team_;
    Chunks<Lanes, kRowChunks> chunks_;
    Arrays arrays_;
    // Of the upcoming tile: its pairs, and how far its rows have been prefetched.
    int n_upcoming_ = 0;
    int fetched_ = 0;
};

}  // namespace CML_TARGET
}  // namespace cml
