// The loss of the paper (Hsieh et al., "Collaborative Metric Learning", WWW 2017): a hinge on
// squared distances (eq. 1), weighted by the estimated rank of the positive (eq. 3, WARP),
//
//   L = w [margin + d_ij^2 - d_ik^2]_+,   w = log(floor(J M / U) + 1),
//
// where J is the number of items, and M of the U sampled negatives are impostors: negatives whose
// hinge is above 0. Of the negatives only the one with the largest hinge is used (section 3.5).
//
// policy.h defines the interface of this class, ../lanes.h the arithmetic on `Lanes`.
#pragma once

#include "policy.h"

namespace cml {
inline namespace CML_TARGET {

struct WarpLoss {
    static constexpr const char* kName = "warp";

    CML_FN explicit WarpLoss(const Job& job)
        : margin(job.hyper.margin), rank_weights(job.rank_weights) {}

    template <class Lanes>
    CML_FN PairLoss evaluate(float positive_distance, const float* negative_distances, int32_t n,
                             float pair_weight) const {
        // A negative whose squared distance is below this is an impostor.
        const float limit = margin + positive_distance;
        int32_t impostors = 0;
        int32_t nearest = -1;  // index of the negative with the largest hinge
        float hinge = 0.0f;    // of that negative
        for (int32_t block = 0; block < n; block += kLanes) {
            const Lanes hinges =
                Lanes::splat(limit) - Lanes::load(negative_distances + block, Full{});
            impostors += count_bits(Lanes::where_above(hinges, 0.0f));
            const float largest = Lanes::largest(hinges);
            if (largest > hinge) {  // of several equally large hinges the first one is kept
                hinge = largest;
                nearest = block + lowest_bit(Lanes::where_equal(hinges, largest));
            }
        }
        const float weight = rank_weights[impostors] * pair_weight;
        // Each of the three gradients is 2 weight (a - b), where a and b are two of the vectors of
        // the user, the positive and the nearest negative. No |a - b|^2 is larger than spread:
        // those to the user are d_ij^2 and d_ik^2 = limit - hinge, and
        // |v_k - v_j|^2 <= 2 (d_ij^2 + d_ik^2).
        const float spread = 2.0f * (positive_distance + (limit - hinge));
        return {nearest, impostors, weight, weight * hinge, 4.0f * weight * weight * spread};
    }

    float margin;
    // w by the number of impostors, computed in bindings/losses.cpp. rank_weights[0] is 0: without
    // an impostor there is no loss.
    const float* rank_weights;
};

CML_PAIRWISE_LOSS(WarpLoss);

}  // namespace CML_TARGET
}  // namespace cml
