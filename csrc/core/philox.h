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
    Words w = counter;
    CML_UNROLL
    for (int round = 0; round < 10; ++round) {
        constexpr uint64_t kFirst = 0xD2E7470EE14C6C93u;
        constexpr uint64_t kSecond = 0xCA5A826395121157u;
        const uint64_t high0 = multiply_high(kFirst, w.word[0]);
        const uint64_t high2 = multiply_high(kSecond, w.word[2]);
        const uint64_t low0 = kFirst * w.word[0];
        const uint64_t low2 = kSecond * w.word[2];
        w = {{high2 ^ w.word[1] ^ key0, low2, high0 ^ w.word[3] ^ key1, low0}};
        key0 += 0x9E3779B97F4A7C15u;
        key1 += 0xBB67AE8584CAA73Bu;
    }
    return w;
}

// Every use of randomness has a key and a counter of its own.
enum class Purpose : uint64_t { kNegatives, kVisitOrder };

CML_FN Words random_words(uint64_t seed, Purpose purpose, int64_t epoch, int64_t number,
                          int64_t slot) {
    return philox(seed, static_cast<uint64_t>(purpose),
                  {{static_cast<uint64_t>(slot), static_cast<uint64_t>(number),
                    static_cast<uint64_t>(epoch), 0}});
}

// A uniform integer in [0, n) from 64 random bits: floor(bits * n / 2^64). Some integers are more
// likely than others by less than one part in 2^64 / n.
CML_FN int32_t scale_to(uint64_t bits, int32_t n) {
    return static_cast<int32_t>(multiply_high(bits, static_cast<uint64_t>(n)));
}

}  // namespace CML_TARGET
}  // namespace cml
