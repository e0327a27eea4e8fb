// Philox4x64-10, a counter-based generator: Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011. The same key and counter give the same words on every device.
#pragma once

#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

struct Words {
    uint64_t word[4];
};

CML_FN Words philox(uint64_t key0, uint64_t key1, const Words& counter) {
    // The constants of the paper: number of rounds, multipliers, and what is added to the keys.
    constexpr int kRounds = 10;
    constexpr uint64_t kMultiplier0 = 0xD2E7470EE14C6C93u, kMultiplier1 = 0xCA5A826395121157u;
    constexpr uint64_t kKeyStep0 = 0x9E3779B97F4A7C15u, kKeyStep1 = 0xBB67AE8584CAA73Bu;
    Words w = counter;
    CML_UNROLL
    for (int round = 0; round < kRounds; ++round) {
        const Product p = multiply(kMultiplier0, w.word[0]);
        const Product q = multiply(kMultiplier1, w.word[2]);
        w = {{q.high ^ w.word[1] ^ key0, q.low, p.high ^ w.word[3] ^ key1, p.low}};
        key0 += kKeyStep0;
        key1 += kKeyStep1;
    }
    return w;
}

// Every use of random numbers has a key of its own. Those of the work between launches, 2 to 4, are
// in Python (the module that computes Philox with NumPy).
enum class Purpose : uint64_t { kNegatives = 0, kVisitOrder = 1, kSharedNegatives = 5 };

CML_FN Words random_words(uint64_t seed, Purpose purpose, int64_t epoch, int64_t number,
                          int64_t slot) {
    return philox(seed, static_cast<uint64_t>(purpose),
                  {{static_cast<uint64_t>(slot), static_cast<uint64_t>(number),
                    static_cast<uint64_t>(epoch), 0}});
}

// Two uniform integers in [0, n) from 64 random bits: the integer part of bits / 2^64 * n is the
// first, and the integer part of its fractional part times n the second (Brackett-Rozinsky and
// Lemire, "Batched Ranged Random Integer Generation", 2024). Some pairs of integers are more likely
// than others, by less than one part in 2^64 / n^2.
CML_FN void two_below(int32_t n, uint64_t bits, int32_t* out) {
    const Product first = multiply(bits, static_cast<uint64_t>(n));
    out[0] = static_cast<int32_t>(first.high);
    out[1] = static_cast<int32_t>(multiply(first.low, static_cast<uint64_t>(n)).high);
}

}  // namespace CML_TARGET
}  // namespace cml
