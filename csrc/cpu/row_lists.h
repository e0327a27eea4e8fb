// The slots of a mini-batch that touch the same row form a list: `end` holds the last one (-1:
// there is none), and each slot knows the one before it. Any worker may append to any list; relaxed
// atomics are enough, for a barrier stands between appending and reading.
#pragma once

#include "../core/platform.h"

namespace cml {
inline namespace CML_TARGET {

// Returns the slot before this one, or -1.
CML_FN int32_t append(int32_t& end, int32_t slot) {
    return __atomic_exchange_n(&end, slot, __ATOMIC_RELAXED);
}

CML_FN bool is_last(const int32_t& end, int32_t slot) {
    return __atomic_load_n(&end, __ATOMIC_RELAXED) == slot;
}

CML_FN void clear(int32_t& end) {
    __atomic_store_n(&end, -1, __ATOMIC_RELAXED);
}

}  // namespace CML_TARGET
}  // namespace cml
