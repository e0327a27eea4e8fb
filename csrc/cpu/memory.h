// How a CPU thread reads and writes rows of tables: the `Memory` of the core.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Rows that no other thread changes meanwhile.
struct PlainMemory {
    template <class Part>
    CML_FN Lanes load(const float* p, Part part) const {
        return Lanes::load(p, part);
    }

    template <class Part>
    CML_FN void commit(float* p, const Lanes&, const Lanes& after, Part part) const {
        after.store(p, part);
    }

    CML_FN float load_one(const float* p) const { return *p; }
    CML_FN void commit_one(float* p, float, float after) const { *p = after; }
};

// Rows that threads change without locks, as Hogwild has it: the last one to store wins.
//
// By the language that is a data race, and it is the only one that is meant. Atomic loads and
// stores of each float would say so, but compilers make no vectors of them, which costs several
// times the speed. What is asked of plain vector loads and stores is less: that an aligned float
// is never torn, and a lane may be older than its neighbour. The machines that there are kernels
// for give that. For ThreadSanitizer, which must not take it for a mistake, it is said in full:
// here alone, so that all other memory, and all of synchronous training, stays checked.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CML_DECLARE_RACES
#endif
#elif defined(__SANITIZE_THREAD__)
#define CML_DECLARE_RACES
#endif

#if defined(CML_DECLARE_RACES)
struct SharedMemory {
    template <class Part>
    CML_FN Lanes load(const float* p, Part part) const {
        alignas(64) float floats[kLanes];
        for (int i = 0; i < Lanes::vectors(part) * Lanes::kWidth; ++i) {
            __atomic_load(p + i, floats + i, __ATOMIC_RELAXED);
        }
        return Lanes::load(floats, part);
    }

    template <class Part>
    CML_FN void commit(float* p, const Lanes&, const Lanes& after, Part part) const {
        alignas(64) float floats[kLanes];
        after.store(floats, part);
        for (int i = 0; i < Lanes::vectors(part) * Lanes::kWidth; ++i) {
            __atomic_store(p + i, floats + i, __ATOMIC_RELAXED);
        }
    }

    CML_FN float load_one(const float* p) const {
        float x;
        __atomic_load(p, &x, __ATOMIC_RELAXED);
        return x;
    }
    CML_FN void commit_one(float* p, float, float after) const {
        __atomic_store(p, &after, __ATOMIC_RELAXED);
    }
};
#else
using SharedMemory = PlainMemory;
#endif

}  // namespace CML_TARGET
}  // namespace cml
