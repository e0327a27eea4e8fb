// The slots of a mini-batch that change the same row form a list: `end` is the last one (-1: the
// list is empty), and for each slot the one before it is stored. Any worker may append to any list.
// Relaxed atomics are enough, because there is a barrier between appending and reading. A worker
// that is alone needs none, and is faster without: an atomic exchange waits for all loads before
// it.
#pragma once

#include "../core/platform.h"

namespace cml {
inline namespace CML_TARGET {

// Append a slot. Returns the slot before it, or -1.
CML_FN int32_t append(int32_t& end, int32_t slot, bool alone) {
    if (!alone) return __atomic_exchange_n(&end, slot, __ATOMIC_RELAXED);
    const int32_t before = end;
    end = slot;
    return before;
}

CML_FN bool is_last(const int32_t& end, int32_t slot) {
    return __atomic_load_n(&end, __ATOMIC_RELAXED) == slot;
}

CML_FN void clear(int32_t& end) {
    __atomic_store_n(&end, -1, __ATOMIC_RELAXED);
}

}  // namespace CML_TARGET
}  // namespace cml
