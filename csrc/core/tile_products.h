// The three matrix products of a tile, in blocks of kProductRows rows and kProductChunks chunks of
// 32 columns: distances, and the gradients of pairs and of negatives.
#pragma once

#include "product.h"
#include "tile_arrays.h"

namespace cml {
inline namespace CML_TARGET {

// Squared distances from users to negatives, where the coefficients will be: a block of
// kProductRows rows from `row` on and kChunks chunks of columns from `first` on. A row is a
// negative where pairs are in lanes, else a pair.
template <int kChunks, class Arrays, class Squad>
CML_FN void distances(const Arrays& tile, int row, int first, Squad& squad) {
    using Lanes = typename Arrays::Lanes;
    constexpr bool kPairInLane = Arrays::kPairInLane;
    constexpr int64_t kColumnStride = Arrays::kColumnStride;
    const int n = tile.job.hyper.n_negatives, n_dims = tile.job.hyper.n_dims;
    const float* const rows = kPairInLane ? tile.items : tile.users;
    const float* const row_norms = kPairInLane ? tile.item_norms : tile.user_norms;
    const float* const column_norms = kPairInLane ? tile.user_norms : tile.item_norms;
    ProductSums<Lanes, kChunks> sums;
    if constexpr (Arrays::kFragments) {
        const BlockOperand<1> of_rows{rows + row * tile.stride(), tile.stride(), kLanes};
        sums.set(n_dims, of_rows, tile.items_by_dims, first / kLanes);
    } else {
        const float* const columns = tile.column(first);
        const int64_t chunk_stride = tile.column(first + kLanes) - columns;
        const RowOperand of_rows{rows + row * tile.stride(), tile.stride()};
        if constexpr (Arrays::kStaged) {
            sums.add_staged(
                squad, n_dims,
                [&](int d) CML_INLINE_LAMBDA { return RowOperand{of_rows.p + d, of_rows.stride}; },
                columns, kColumnStride, chunk_stride, Full{});
        } else {
            sums.add(n_dims, of_rows, columns, kColumnStride, chunk_stride, Full{});
        }
    }
    if (squad.idle()) return;
    const Lanes minus_two = Lanes::splat(-2.0f);
    Lanes norms[kChunks];
    each_chunk<kChunks>(Full{}, [&](int j, Full part) CML_INLINE_LAMBDA {
        norms[j] = Lanes::load(column_norms + first + j * kLanes, part);
    });
    sums.each(Full{}, [&](int m, int j, Full part, const Lanes& x) CML_INLINE_LAMBDA {
        if (kPairInLane && row + m >= n) return;
        const int column = first + j * kLanes;
        const Lanes sum = norms[j] + Lanes::splat(row_norms[row + m]);
        float* const to =
            kPairInLane ? tile.coefficient(row + m, column) : tile.coefficient(column, row + m);
        larger(fma(minus_two, x, sum), Lanes::splat(0.0f)).store(to, part);
    });
}

// The same for the next kProductChunks chunks of columns, or what is left of them: one where pairs
// are in lanes. `group` is how many times so many come before.
template <class Arrays, class Squad>
CML_FN void compute_distances(const Arrays& tile, int row, int group, Squad& squad) {
    if constexpr (Arrays::kPairInLane) {
        distances<1>(tile, row, group * kLanes, squad);
    } else {
        const int first = group * Arrays::kProductChunks;
        with_count<Arrays::kProductChunks>(
            groups_of(tile.job.hyper.n_negatives, kLanes) - first, [&](auto n) CML_INLINE_LAMBDA {
                distances<decltype(n)::value>(tile, row, first * kLanes, squad);
            });
    }
}

// Prefetch where chunk c of some gradients will be stored, in time for the end of their product:
// the slots of a large mini-batch are not in the nearer caches.
template <class Lanes, class Part>
CML_FN void fetch_slots(const TileSlots& slots, int64_t first, int c, Part part) {
    if constexpr (Lanes::kPrefetches) {
        for (int m = 0; m < Lanes::kProductRows; ++m) {
            Lanes::prefetch(slots.gradients + (first + m) * slots.stride + c * kLanes, part);
        }
    }
}

// kChunks chunks, from c on, of the gradients of the users from the i-th pair on, and of their
// positives.
template <int kChunks, class Arrays, class Part, class Squad>
CML_FN void pair_gradients(const Arrays& tile, int i, int c, Part part, int n_pairs,
                           const TileSlots& slots, Squad& squad) {
    using Lanes = typename Arrays::Lanes;
    const int n = tile.job.hyper.n_negatives;
    const float* const items = tile.items + c * kLanes;
    fetch_slots<Lanes>(slots, i, c, part);
    fetch_slots<Lanes>(slots, tile.job.hyper.tile_size + i, c, part);
    ProductSums<Lanes, kChunks> sums;
    if constexpr (Arrays::kFragments) {
        const BlockOperand<1> coefficients{tile.coefficient(0, i), kLanes, kColumnBlock};
        sums.set(n, coefficients, tile.dims_by_items, c);
    } else if constexpr (Arrays::kPairInLane) {
        sums.add(n, StepOperand{tile.coefficient(0, i), kPairColumns}, items, tile.stride(), kLanes,
                 part);
    } else {
        sums.add_staged(
            squad, n,
            [&](int k) CML_INLINE_LAMBDA { return RowOperand{tile.coefficient(k, i), kLanes}; },
            items, tile.stride(), kLanes, part);
    }
    if (squad.idle()) return;
    const int64_t tile_size = tile.job.hyper.tile_size;
    sums.each(part, [&](int m, int j, auto part_of_j, const Lanes& x) CML_INLINE_LAMBDA {
        if (i + m >= n_pairs) return;
        const int64_t at = (i + m) * tile.stride() + (c + j) * kLanes;
        const Lanes u = Lanes::load(tile.users + at, part_of_j);
        const Lanes v = Lanes::load(tile.positives + at, part_of_j);
        const Lanes of_user = Lanes::splat(tile.user_coefficients[i + m]);
        const Lanes of_positive = Lanes::splat(tile.positive_coefficients[i + m]);
        float* const to = slots.gradients + (i + m) * slots.stride + (c + j) * kLanes;
        (x + (of_user * u - of_positive * v)).store(to, part_of_j);
        (of_positive * (v - u)).store(to + tile_size * slots.stride, part_of_j);
    });
}

// Note which row the slot of negative k belongs to. If its coefficients add up to 0, it does not
// change, and its slot stays empty.
template <class Arrays>
CML_FN void finish_negative(const Arrays& tile, int64_t k, float total, const TileSlots& slots) {
    using Lanes = typename Arrays::Lanes;
    Lanes::put(slots.rows + 2 * int64_t{tile.job.hyper.tile_size} + k,
               total > 0.0f ? tile.drawn[k] : -1);
}

// Add up the coefficients of a negative over the pairs of so many blocks.
template <class Arrays>
CML_FN void sum_coefficients(const Arrays& tile, int64_t k, int blocks, const TileSlots& slots) {
    using Lanes = typename Arrays::Lanes;
    Lanes sums = Lanes::splat(0.0f);
    for (int block = 0; block < blocks; ++block) {
        sums = sums + Lanes::load(tile.coefficient(k, block * kLanes), Full{});
    }
    float total[1];
    Lanes::sum({sums}, total);
    finish_negative(tile, k, total[0], slots);
    tile.coefficient_sums[k] = total[0];
}

// The same for kProductRows negatives that are in lanes.
template <class Arrays, int kRows>
CML_FN void sum_coefficients(const Arrays& tile, int64_t k, int blocks, float (&totals)[kRows]) {
    using Lanes = typename Arrays::Lanes;
    Lanes sums[kRows];
    CML_UNROLL
    for (int m = 0; m < kRows; ++m) sums[m] = Lanes::splat(0.0f);
    for (int block = 0; block < blocks; ++block) {
        Lanes x[kRows];
        Lanes::load_columns(tile.coefficient(k, block * kLanes), kLanes, x);
        CML_UNROLL
        for (int m = 0; m < kRows; ++m) sums[m] = sums[m] + x[m];
    }
    Lanes::sum(sums, totals);
}

// The same chunks of the gradients of the negatives from the k-th on. Where they are in lanes,
// everyone who needs the sums of their coefficients adds them up: that takes less time than to
// meet.
template <int kChunks, class Arrays, class Part, class Squad>
CML_FN void negative_gradients(const Arrays& tile, int64_t k, int c, Part part, int n_pairs,
                               const TileSlots& slots, Squad& squad) {
    using Lanes = typename Arrays::Lanes;
    constexpr bool kPairInLane = Arrays::kPairInLane;
    constexpr int kRows = Lanes::kProductRows;
    const int n = tile.job.hyper.n_negatives;
    float* const to =
        slots.gradients + (2 * int64_t{tile.job.hyper.tile_size} + k) * slots.stride + c * kLanes;
    const float* const users = tile.users + c * kLanes;
    fetch_slots<Lanes>(slots, 2 * int64_t{tile.job.hyper.tile_size} + k, c, part);
    float totals[kRows];
    ProductSums<Lanes, kChunks> sums;
    if constexpr (kPairInLane) {
        CML_UNROLL
        for (int m = 0; m < kRows; ++m) totals[m] = tile.coefficient_sums[k + m];
        sums.add(n_pairs, RowOperand{tile.coefficient(k, 0), kPairColumns}, users, tile.stride(),
                 kLanes, part);
    } else {
        if (!squad.idle()) sum_coefficients(tile, k, groups_of(n_pairs, kLanes), totals);
        if constexpr (Arrays::kFragments) {
            constexpr int64_t kBlockStride = int64_t{kLanes} * kFragmentSide;
            const BlockOperand<kLanes> coefficients{tile.coefficient(k, 0), 1, kBlockStride};
            sums.set(n_pairs, coefficients, tile.dims_by_users, c);
        } else {
            sums.add_staged(
                squad, n_pairs,
                [&](int i)
                    CML_INLINE_LAMBDA { return StepOperand{tile.coefficient(k, i), kLanes}; },
                users, tile.stride(), kLanes, part);
        }
    }
    if (squad.idle()) return;
    sums.each(part, [&](int m, int j, auto part_of_j, const Lanes& x) CML_INLINE_LAMBDA {
        if (k + m >= n) return;
        if (!kPairInLane && c + j == 0) finish_negative(tile, k + m, totals[m], slots);
        const int64_t at = (k + m) * tile.stride() + (c + j) * kLanes;
        const Lanes v = Lanes::load(tile.items + at, part_of_j);
        (x - Lanes::splat(totals[m]) * v).store(to + m * slots.stride + j * kLanes, part_of_j);
    });
}

}  // namespace CML_TARGET
}  // namespace cml
