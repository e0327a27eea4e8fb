// The order in which an epoch visits its pairs: a random bijection of [0, n). It is computed, not
// stored, so that every worker can go through any range of any epoch.
//
// Likes that lie in a file are read in order, so the pairs are cut into parts of successive ones.
// An epoch visits one part after another, in random order, and the pairs of each in random order.
// Likes in memory are one part.
#pragma once

#include "job.h"
#include "philox.h"

namespace cml {
inline namespace CML_TARGET {

class VisitOrder {
 public:
    CML_FN VisitOrder(const VisitSizes& sizes, uint64_t seed, int64_t epoch) : sizes_(sizes) {
        const Words first = random_words(seed, Purpose::kVisitOrder, epoch, 0, 0);
        const Words second = random_words(seed, Purpose::kVisitOrder, epoch, 0, 1);
        CML_UNROLL
        for (int i = 0; i < kRounds; ++i) keys_[i] = (i < 4 ? first : second).word[i % 4];
        // The last part, which is shorter, is visited before any of the others or after them all.
        const uint64_t before = multiply(second.word[3], sizes.parts.n + 1).high;
        last_begin_ = before << sizes.part_bits;
    }

    // The pair visited at `position` of the epoch, both in [0, n).
    CML_FN int64_t operator()(int64_t position) const {
        uint64_t x = static_cast<uint64_t>(position), part = sizes_.parts.n;
        const bool is_last = x - last_begin_ < sizes_.last.n;  // the difference may wrap around
        if (is_last) {
            x -= last_begin_;
        } else {
            x -= x < last_begin_ ? 0 : sizes_.last.n;
            part = shuffled(x >> sizes_.part_bits, sizes_.parts, kParts);
            x &= sizes_.part.n - 1;
        }
        x = shuffled(x, is_last ? sizes_.last : sizes_.part, part);
        return static_cast<int64_t>(part << sizes_.part_bits | x);
    }

 private:
    static constexpr int kRounds = 6;
    static constexpr uint64_t kParts = UINT64_MAX;  // no number of a part

    // A Feistel network, whose keys differ by `part`. A position is split into a low half of its
    // bits and the rest, which is in [0, high_size), so that the network is a bijection of a range
    // that is hardly larger than [0, n). A result outside of [0, n) is sent through the network
    // again ("cycle walking": Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA
    // 2002), which is rare if n is large.
    CML_FN uint64_t shuffled(uint64_t x, const ShuffleSizes& sizes, uint64_t part) const {
        const uint64_t low_mask = (uint64_t{1} << sizes.low_bits) - 1;
        const uint64_t high_size = sizes.high_size;
        const uint64_t change = part * 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio
        do {
            uint64_t low = x & low_mask;
            uint64_t high = x >> sizes.low_bits;
            CML_UNROLL
            for (int i = 0; i < kRounds; i += 2) {
                high += (mix(low, keys_[i] ^ change) & 0xFFFFFFFFu) * high_size >> 32;
                high = high < high_size ? high : high - high_size;
                low ^= mix(high, keys_[i + 1] ^ change) & low_mask;
            }
            x = high << sizes.low_bits | low;
        } while (x >= sizes.n);
        return x;
    }

    // Any round function gives a bijection. This one lets each input bit change the whole word (the
    // first half of Stafford's mix13 finaliser of MurmurHash3).
    static CML_FN uint64_t mix(uint64_t x, uint64_t key) {
        x = (x ^ key) * 0xBF58476D1CE4E5B9u;
        return x ^ x >> 32;
    }

    const VisitSizes& sizes_;
    uint64_t last_begin_;
    uint64_t keys_[kRounds];
};

}  // namespace CML_TARGET
}  // namespace cml
