// A set of items that says quickly of most others that they are not in it.
#pragma once

#include "../core/platform.h"

namespace cml {
inline namespace CML_TARGET {

class Sieve {
 public:
    Sieve(const int32_t* items, int n) {
        for (int i = 0; i < kWords; ++i) words_[i] = 0;
        for (int i = 0; i < n; ++i) words_[word_of(items[i])] |= uint64_t{1} << bit_of(items[i]);
    }

    // Call f(item) for all of these items that are in the set, and for a few that are not.
    template <class F>
    CML_FN void each_candidate(const int32_t* items, int64_t n, F f) const {
        int64_t i = 0;
        for (; i + kAtOnce <= n; i += kAtOnce) {
            // Most of the time there is none, so this branch is predicted well.
            uint64_t any = 0;
            CML_UNROLL
            for (int k = 0; k < kAtOnce; ++k) any |= bits_from(items[i + k]);
            if (any & 1) {
                for (int k = 0; k < kAtOnce; ++k) f(items[i + k]);
            }
        }
        for (; i < n; ++i) {
            if (bits_from(items[i]) & 1) f(items[i]);
        }
    }

 private:
    static constexpr int kWords = 512;  // 4 KiB: 1 in 128 others passes if the set has 256 items
    static constexpr int kAtOnce = 4;

    // An item has the bit of its number modulo 64 * kWords.
    static CML_FN uint32_t word_of(int32_t item) {
        return static_cast<uint32_t>(item) / 64 % kWords;
    }
    static CML_FN uint32_t bit_of(int32_t item) { return static_cast<uint32_t>(item) % 64; }

    CML_FN uint64_t bits_from(int32_t item) const { return words_[word_of(item)] >> bit_of(item); }

    uint64_t words_[kWords];
};

}  // namespace CML_TARGET
}  // namespace cml
