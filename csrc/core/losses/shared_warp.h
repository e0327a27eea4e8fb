// The loss of the paper (see warp.h) with negatives that the pairs of a tile share,
//
//   L = w [margin + d_ij^2 - min_k d_ik^2]_+,   w = log(floor(J M / U) + 1).
//
// A pair has the same chance of meeting an item as with negatives of its own, but for the liked
// items of its user: these are drawn, too, and then left out. So its expected gradient is the same.
// A negative that is the nearest of several pairs is pushed by all of them at once.
#pragma once

#include "policy.h"

namespace cml {
inline namespace CML_TARGET {

struct SharedWarpLoss {
    static constexpr const char* kName = "shared_warp";

    CML_FN explicit SharedWarpLoss(const Job& job)
        : margin(job.hyper.margin), rank_weights(job.rank_weights) {}

    template <class Lanes>
    CML_FN PairBlockLoss<Lanes> evaluate(const Lanes& positive, const Lanes& weight,
                                         const typename Lanes::Negatives& negatives) const {
        const Lanes limit = Lanes::splat(margin) + positive;
        const Lanes one = Lanes::splat(1.0f);
        const Lanes zero = Lanes::splat(0.0f);
        Lanes nearest = limit;
        Lanes impostors = zero;
        negatives.each([&](const Lanes& distance) CML_INLINE_LAMBDA {
            nearest = smaller(nearest, distance);
            impostors = impostors + keep_where_above(limit - distance, 0.0f, one);
        });
        nearest = negatives.least(nearest);
        impostors = negatives.count(impostors);
        const Lanes rank_weight = Lanes::look_up(rank_weights, impostors) * weight;
        const Lanes coefficient = Lanes::splat(2.0f) * rank_weight;
        negatives.keep_nearest(nearest, coefficient);
        return {zero, coefficient, rank_weight * (limit - nearest), impostors};
    }

    float margin;
    // w by the number of impostors; rank_weights[0] is 0.
    const float* rank_weights;
};

CML_SHARED_NEGATIVE_LOSS(SharedWarpLoss);

}  // namespace CML_TARGET
}  // namespace cml
