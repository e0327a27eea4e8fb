// Philox4x32-10, a counter-based generator: Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3", SC 2011. The same key and counter give the same words on every device.
#pragma once

#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

struct Words {
    uint32_t a, b, c, d;
};

CML_FN Words philox(uint64_t key, Words counter) {
    uint32_t key_low = static_cast<uint32_t>(key);
    uint32_t key_high = static_cast<uint32_t>(key >> 32);
    Words w = counter;
    CML_UNROLL
    for (int round = 0; round < 10; ++round) {
        const uint64_t first = uint64_t{0xD2511F53u} * w.a;
        const uint64_t second = uint64_t{0xCD9E8D57u} * w.c;
        w = {static_cast<uint32_t>(second >> 32) ^ w.b ^ key_low, static_cast<uint32_t>(second),
             static_cast<uint32_t>(first >> 32) ^ w.d ^ key_high, static_cast<uint32_t>(first)};
        key_low += 0x9E3779B9u;
        key_high += 0xBB67AE85u;
    }
    return w;
}

// Every use of randomness has a counter of its own: (number, epoch, slot). The slots of the
// negatives count from 0; those of the visit order lie above them.
constexpr uint32_t kVisitOrderSlot = 0xFFF0u;

CML_FN Words random_words(uint64_t seed, int64_t number, int64_t epoch, uint32_t slot) {
    const uint64_t n = static_cast<uint64_t>(number);
    const uint64_t e = static_cast<uint64_t>(epoch);  // below 2^48, see kMaxEpochs
    return philox(seed, {static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32),
                         static_cast<uint32_t>(e), static_cast<uint32_t>(e >> 32 << 16) | slot});
}

}  // namespace CML_TARGET
}  // namespace cml
