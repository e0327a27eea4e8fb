// Copies the rows of a tile from the tables to its arrays, with their squared norms.
#pragma once

#include "bfloat16.h"
#include "rows.h"
#include "tile_arrays.h"

namespace cml {
inline namespace CML_TARGET {

// Call f(c, part, x) for each chunk of some rows of the tables, x[i] being that of row i. With
// kRowChunks registers hold the rows, so that all of their loads are in flight at once.
template <class Lanes, int kRowChunks, int n, class Memory, class F>
CML_FN void each_chunk_of(const Job& job, Memory memory, const float* const (&rows)[n], F f) {
    const Chunks<Lanes, kRowChunks> chunks{job.hyper.n_dims};
    const auto load = [&](int c, auto part, Lanes(&x)[n]) CML_INLINE_LAMBDA {
        CML_UNROLL
        for (int i = 0; i < n; ++i) x[i] = memory.load(rows[i] + c * kLanes, part);
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

// Copy the rows of a pair; zeros if the pair does not exist. Returns the sum of their squared
// norms.
template <class Arrays, class Memory>
CML_FN float load_pair(const Arrays& tile, Memory memory, int64_t i, bool exists) {
    using Lanes = typename Arrays::Lanes;
    const Job& job = tile.job;
    const float* const from[2] = {row_of(job.users, exists ? tile.pairs[i].user : 0),
                                  row_of(job.items, exists ? tile.pairs[i].positive : 0)};
    float* const user = tile.users + i * tile.stride();
    float* const positive = tile.positives + i * tile.stride();
    Lanes sums[4];  // of the squares: user, positive, their difference; sum() takes 4, not 3
    CML_UNROLL
    for (int t = 0; t < 4; ++t) sums[t] = Lanes::splat(0.0f);
    each_chunk_of<Lanes, Arrays::kRowChunks>(
        job, memory, from, [&](int c, auto part, const Lanes(&rows)[2]) CML_INLINE_LAMBDA {
            const Lanes keep = Lanes::splat(exists ? 1.0f : 0.0f);
            const Lanes u = tile.operand(keep * rows[0]);
            const Lanes v = tile.operand(keep * rows[1]);
            u.store(user + c * kLanes, part);
            v.store(positive + c * kLanes, part);
            if constexpr (Arrays::kFragments) {
                u.store_bfloat16([&](int d) { return tile.dims_by_users.at(c * kLanes + d, i); });
            }
            sums[0].add(u * u, part);
            sums[1].add(v * v, part);
            sums[2].add((u - v) * (u - v), part);
        });
    float squares[4];
    Lanes::sum(sums, squares);
    Lanes::put(tile.user_norms + i, squares[0]);
    Lanes::put(tile.positive_distances + i, squares[2]);
    return squares[0] + squares[1];
}

// Copy the rows of kNegativesAtOnce negatives. Returns the largest of their squared norms.
template <class Arrays, class Memory>
CML_FN float load_negatives(const Arrays& tile, Memory memory, int64_t first) {
    using Lanes = typename Arrays::Lanes;
    constexpr int kRows = Arrays::kNegativesAtOnce;
    const int64_t last = tile.job.hyper.n_negatives - 1;  // beyond it: that one again
    const float* from[kRows];
    Lanes sums[kRows];
    CML_UNROLL
    for (int i = 0; i < kRows; ++i) {
        from[i] = row_of(tile.job.items, tile.drawn[first + i < last ? first + i : last]);
        sums[i] = Lanes::splat(0.0f);
    }
    each_chunk_of<Lanes, Arrays::kRowChunks>(
        tile.job, memory, from, [&](int c, auto part, const auto& rows) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int i = 0; i < kRows; ++i) {
                const int64_t k = first + i;
                const Lanes x = tile.operand(rows[i]);
                sums[i].add(x * x, part);
                if (k > last) continue;
                x.store(tile.items + k * tile.stride() + c * kLanes, part);
                if constexpr (Arrays::kFragments) {
                    const int64_t first_d = c * kLanes;
                    x.store_bfloat16([&](int d) { return tile.items_by_dims.at(k, first_d + d); });
                    x.store_bfloat16([&](int d) { return tile.dims_by_items.at(first_d + d, k); });
                } else if constexpr (!Arrays::kPairInLane) {
                    x.store_column(tile.column(k) + c * kLanes * Arrays::kColumnStride,
                                   Arrays::kColumnStride, part);
                }
            }
        });
    float norms[kRows], most = 0.0f;
    Lanes::sum(sums, norms);
    CML_UNROLL
    for (int i = 0; i < kRows; ++i) {
        if (first + i <= last) Lanes::put(tile.item_norms + first + i, norms[i]);
        if (!(norms[i] <= most)) most = norms[i];  // NaN is not lost
    }
    return most;
}

}  // namespace CML_TARGET
}  // namespace cml
