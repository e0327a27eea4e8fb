// Negative items, uniform over what a user has not liked: one draw each, no rejection.
#pragma once

#include "philox.h"

namespace cml {
inline namespace CML_TARGET {

// A uniform integer in [0, n) from 64 random bits: floor(bits * n / 2^64). Some integers are more
// likely than others by less than one part in 2^64 / n.
CML_FN int32_t scale_to(uint64_t bits, int32_t n) {
    return static_cast<int32_t>(multiply_high(bits, static_cast<uint64_t>(n)));
}

// Turn ranks (from 0) among the items that are not in `liked` into those items. `liked` is sorted
// and distinct. An item is its rank plus the number of liked items below it: liked[p] is below
// the answer if it is below rank + p + 1, which is where the answer lies if p + 1 liked items
// are. So a binary search needs no more than the answer so far; n of them run side by side, and
// none has a branch that depends on the data.
template <int n>
CML_FN void ranks_to_items(int32_t* ranks, const int32_t* liked, int64_t n_liked) {
    // liked[p] is at address origin + 4 * answer, where answer = rank + p + 1.
    uintptr_t origins[n];
    int64_t answers[n];
    CML_UNROLL
    for (int i = 0; i < n; ++i) {
        answers[i] = ranks[i];
        origins[i] = reinterpret_cast<uintptr_t>(liked) -
                     static_cast<uintptr_t>(answers[i] + 1) * sizeof(int32_t);
    }
    for (int64_t left = n_liked; left > 0;) {
        const int64_t half = (left + 1) / 2;
        CML_UNROLL
        for (int i = 0; i < n; ++i) {
            const int64_t next = answers[i] + half;
            const int32_t item = *reinterpret_cast<const int32_t*>(
                origins[i] + static_cast<uintptr_t>(next) * sizeof(int32_t));
            answers[i] = item < static_cast<int32_t>(next) ? next : answers[i];
        }
        left -= half;
    }
    CML_UNROLL
    for (int i = 0; i < n; ++i) ranks[i] = static_cast<int32_t>(answers[i]);
}

}  // namespace CML_TARGET
}  // namespace cml
