// The order in which an epoch visits its pairs: a random bijection of [0, n). It is computed, not
// stored, so that every worker can go through any range of any epoch.
#pragma once

#include "philox.h"

namespace cml {
inline namespace CML_TARGET {

// A Feistel network. A position is split into a low half of its bits and the rest, which is in
// [0, high_size), so that the network is a bijection of a range that is hardly larger than [0, n).
// A result outside of [0, n) is sent through the network again ("cycle walking": Black and Rogaway,
// "Ciphers with Arbitrary Finite Domains", CT-RSA 2002), which is rare if n is large.
class VisitOrder {
 public:
    CML_FN VisitOrder(int64_t n, uint64_t seed, int64_t epoch) : n_(static_cast<uint64_t>(n)) {
        int bits = 0;
        while ((uint64_t{1} << bits) < n_) ++bits;
        low_bits_ = bits - bits / 2;
        low_mask_ = (uint64_t{1} << low_bits_) - 1;
        high_size_ = (n_ + low_mask_) >> low_bits_;
        const Words first = random_words(seed, Purpose::kVisitOrder, epoch, 0, 0);
        const Words second = random_words(seed, Purpose::kVisitOrder, epoch, 0, 1);
        CML_UNROLL
        for (int i = 0; i < kRounds; ++i) keys_[i] = (i < 4 ? first : second).word[i % 4];
    }

    // The pair visited at `position` of the epoch, both in [0, n).
    CML_FN int64_t operator()(int64_t position) const {
        uint64_t x = static_cast<uint64_t>(position);
        do {
            uint64_t low = x & low_mask_;
            uint64_t high = x >> low_bits_;
            CML_UNROLL
            for (int i = 0; i < kRounds; i += 2) {
                high += (mix(low, keys_[i]) & 0xFFFFFFFFu) * high_size_ >> 32;
                high = high < high_size_ ? high : high - high_size_;
                low ^= mix(high, keys_[i + 1]) & low_mask_;
            }
            x = high << low_bits_ | low;
        } while (x >= n_);
        return static_cast<int64_t>(x);
    }

 private:
    static constexpr int kRounds = 6;

    // Any round function gives a bijection. This one lets each input bit change the whole word (the
    // first half of Stafford's mix13 finaliser of MurmurHash3).
    static CML_FN uint64_t mix(uint64_t x, uint64_t key) {
        x = (x ^ key) * 0xBF58476D1CE4E5B9u;
        return x ^ x >> 32;
    }

    uint64_t n_;
    uint64_t low_mask_;
    uint64_t high_size_;
    int low_bits_;
    uint64_t keys_[kRounds];
};

}  // namespace CML_TARGET
}  // namespace cml
