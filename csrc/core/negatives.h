// Negative items, uniform over what a user has not liked: one draw each, no rejection.
#pragma once

#include "philox.h"

namespace cml {
inline namespace CML_TARGET {

// A uniform integer in [0, n) from 64 random bits: floor(bits * n / 2^64). Its bias is below
// n / 2^64. n is below 2^32, so two 32-bit products do.
CML_FN int32_t scale_to(uint32_t bits_high, uint32_t bits_low, uint32_t n) {
    const uint64_t carry = uint64_t{bits_low} * n >> 32;
    return static_cast<int32_t>((uint64_t{bits_high} * n + carry) >> 32);
}

// The item of this rank (from 0) among those that are not in `liked`, which is sorted and
// distinct and has at least one entry. Before liked[p] there are liked[p] - p items that are not
// liked, a count that never falls as p grows: so the liked items below the answer are those with
// liked[p] - p <= rank. The search has no branch that depends on the data.
CML_FN int32_t nth_not_liked(int32_t rank, const int32_t* liked, int32_t n_liked) {
    int32_t below = 0;
    int32_t left = n_liked;
    while (left > 1) {
        const int32_t half = left / 2;
        const int32_t probe = below + half - 1;
        below += liked[probe] - probe <= rank ? half : 0;
        left -= half;
    }
    below += liked[below] - below <= rank ? 1 : 0;
    return rank + below;
}

}  // namespace CML_TARGET
}  // namespace cml
