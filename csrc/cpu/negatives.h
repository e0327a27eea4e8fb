// The distances from kLanes users to their negatives, see core/losses/policy.h: a pair in each
// lane.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Row k of the matrix at p is that of negative k.
struct Lanes::Negatives {
    static constexpr int kPairs = kLanes;  // at once

    static constexpr int64_t kStride = kPairColumns;

    float* p;
    int n;

    // What belongs to the pairs.
    static CML_FN Lanes load_pairs(const float* q) { return Lanes::load(q, Full{}); }
    static CML_FN void store_pairs(float* q, const Lanes& x) { x.store(q, Full{}); }

    template <class F>
    CML_FN void each(F f) const {
        for (int k = 0; k < n; ++k) f(Lanes::load(p + k * kStride, Full{}));
    }

    template <class F>
    CML_FN Lanes replace(F f) const {
        Lanes sum = Lanes::splat(0.0f);
        for (int k = 0; k < n; ++k) {
            const Lanes x = f(Lanes::load(p + k * kStride, Full{}));
            x.store(p + k * kStride, Full{});
            sum = sum + x;
        }
        return sum;
    }

    // Each lane has seen all distances of its pair.
    static CML_FN const Lanes& least(const Lanes& x) { return x; }
    static CML_FN const Lanes& count(const Lanes& x) { return x; }

    CML_FN void keep_nearest(const Lanes& nearest, const Lanes& x) const {
        Lanes left = x;  // after the first one nothing is left
        for (int k = 0; k < n; ++k) {
            float* const q = p + k * kStride;
            const Lanes kept = keep_where_above(Lanes::load(q, Full{}) - nearest, 0.0f, left);
            (left - kept).store(q, Full{});
            left = kept;
        }
    }
};

}  // namespace CML_TARGET
}  // namespace cml
