// Rows of a table, in chunks of 32 elements.
#pragma once

#include <type_traits>

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Call f(n) with n as a constant, or with kMost if that is less.
template <int kMost, class F>
CML_FN void with_count(int n, F f) {
    if constexpr (kMost > 1) {
        if (n < kMost) return with_count<kMost - 1>(n, f);
    }
    f(std::integral_constant<int, kMost>{});
}

// The chunks of a row; the last one may be incomplete. kChunks: their number; 0: known at run time
// only.
template <class Lanes, int kChunks>
struct Chunks {
    static constexpr int kRoom = kChunks > 0 ? kChunks : kMaxDims / kLanes;

    int n_dims;

    // f(c, part) for each chunk.
    template <class F>
    CML_FN void each(F f) const {
        const int last = kChunks > 0 ? kChunks - 1 : (n_dims - 1) / kLanes;
        if constexpr (kChunks > 0) {
            CML_UNROLL
            for (int c = 0; c < last; ++c) f(c, Full{});
        } else {
            CML_UNROLL_ANY_LENGTH
            for (int c = 0; c < last; ++c) f(c, Full{});
        }
        Lanes::last_part(n_dims - last * kLanes,
                         [&](auto part) CML_INLINE_LAMBDA { f(last, part); });
    }

    // f(c, n, part) for each kAtOnce chunks, from c on: n of them, a constant, which are fewer at
    // the end. `part` is that of the last.
    template <int kAtOnce, class F>
    CML_FN void each_group(F f) const {
        const int last = kChunks > 0 ? kChunks - 1 : (n_dims - 1) / kLanes;
        int c = 0;
        CML_NO_UNROLL
        for (; c + kAtOnce <= last; c += kAtOnce) {
            f(c, std::integral_constant<int, kAtOnce>{}, Full{});
        }
        with_count<kAtOnce>(last + 1 - c, [&](auto n) CML_INLINE_LAMBDA {
            Lanes::last_product_part(n_dims - last * kLanes,
                                     [&](auto part) CML_INLINE_LAMBDA { f(c, n, part); });
        });
    }

    // Prefetch a row.
    CML_FN void fetch(const float* row) const {
        each([&](int c, auto part) CML_INLINE_LAMBDA { Lanes::prefetch(row + c * kLanes, part); });
    }
};

CML_FN float* row_of(const Table& table, int64_t number) {
    return table.values + number * table.stride;
}

CML_FN float* accumulators_of(const Table& table, int64_t number) {
    return table.accumulators + number * table.accumulator_stride;
}

// Prefetch the accumulators of a row.
template <class Lanes, int kChunks>
CML_FN void fetch_accumulators(const Chunks<Lanes, kChunks>& chunks, const Table& table,
                               int64_t number) {
    const float* const accumulators = accumulators_of(table, number);
    if (table.accumulator_stride == 1) {
        Lanes::prefetch_one(accumulators);
    } else {
        chunks.fetch(accumulators);
    }
}

}  // namespace CML_TARGET
}  // namespace cml
