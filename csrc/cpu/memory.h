// How a CPU thread reads and writes rows of tables: the `Memory` of the core.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// For rows that no other thread changes at the same time.
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

// For rows that several threads change without locks (Hogwild): the last one to store wins.
//
// Formally this is a data race, and the only intentional one. Atomic loads and stores of each float
// would avoid it, but compilers do not vectorise them, and training would be several times slower.
// Plain vector loads and stores are enough if an aligned float is never torn; it does not matter if
// one lane is older than another. All machines that there are kernels for guarantee that.
//
// Builds for ThreadSanitizer use atomic operations here, so that it does not report this race. It
// still checks all other memory and all of synchronous training.
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
