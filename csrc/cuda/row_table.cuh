// Finds the slots of a block that have the same row, so that one warp adds up their gradients.
#pragma once

#include "grid.cuh"
#include "kernel.h"

namespace cml {
inline namespace CML_TARGET {

// A hash table in the shared memory of a block. Its entries are the first slot of each row; the
// other slots of that row are in a list that begins there. Which slot is the first one, and the
// order of the list, are up to chance: what is added up must not depend on it.
class RowTable {
 public:
    static constexpr int32_t kNoRow = INT32_MIN;

    // For n slots, with table_bytes(n) of memory.
    CML_FN RowTable(int64_t* memory, int n)
        : n_(n), keys_(reinterpret_cast<int32_t*>(memory)), next_(keys_ + n), entries_(next_ + n) {}

    // For each row that slots have, one warp calls f(claimed, each), where each(g) calls g(slot)
    // for all of them. key(slot) names the row of a slot, or is kNoRow. Each lane of the warp calls
    // claimed = claim(slot, key) for another row, with one of its slots; it is not negative.
    // All threads of the block call this; the memory must not be used before they meet again.
    template <class Key, class Claim, class F>
    CML_FN void each_row(Key key, Claim claim, F f) const {
        each_of_block(entries(), [&](int i) { entries_[i] = kNone; });
        each_of_block(n_, [&](int slot) {
            keys_[slot] = key(slot);
            next_[slot] = kNone;
        });
        __syncthreads();
        each_of_block(n_, [&](int slot) { insert(slot, keys_[slot]); });
        __syncthreads();
        const int warps = static_cast<int>(blockDim.x) / kLanes;
        each_looked_up(
            {static_cast<int>(threadIdx.x) / kLanes, warps}, n_,
            [&](int64_t slot) -> int64_t {
                return keys_[slot] == kNoRow ? -1 : claim(static_cast<int>(slot), keys_[slot]);
            },
            [&](int64_t first, int64_t claimed) {
                f(claimed, [&](auto g) {
                    for (int slot = static_cast<int>(first); slot != kNone; slot = next_[slot]) {
                        g(slot);
                    }
                });
            });
    }

 private:
    static constexpr int32_t kNone = -1;

    template <class F>
    static CML_FN void each_of_block(int n, F f) {
        for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) f(i);
    }

    // Half of the entries at least are free, so that few rows have to look for another one.
    CML_FN int entries() const { return kEntriesOfSlot * n_; }

    // A slot that is not the first one of its row is put into the list of that one, and has no key
    // any more.
    CML_FN void insert(int slot, int32_t key) const {
        if (key == kNoRow) return;
        constexpr uint32_t kGoldenRatio = 0x9E3779B1u;  // spreads successive rows
        const uint64_t hash = static_cast<uint32_t>(key) * kGoldenRatio;
        int i = static_cast<int>(hash * static_cast<uint32_t>(entries()) >> 32);
        for (;;) {
            const int first = atomicCAS(entries_ + i, kNone, slot);
            if (first == kNone) return;
            if (keys_[first] == key) {
                next_[slot] = atomicExch(next_ + first, slot);
                keys_[slot] = kNoRow;
                return;
            }
            if (++i == entries()) i = 0;
        }
    }

    int n_;
    int32_t *keys_, *next_, *entries_;
};

}  // namespace CML_TARGET
}  // namespace cml
