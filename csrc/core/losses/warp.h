// The loss of the paper (Hsieh et al., "Collaborative Metric Learning", WWW 2017): a hinge on
// squared distances (eq. 1), weighted by the estimated rank of the positive (eq. 3, WARP),
//
//   L = w [margin + d_ij^2 - d_ik^2]_+,   w = log(floor(J M / U) + 1),
//
// where M of the U sampled negatives are impostors (the hinge is above 0) among J items. Of the
// negatives only the one with the largest hinge is used (section 3.5).
#pragma once

#include "policy.h"

namespace cml {
inline namespace CML_TARGET {

struct WarpLoss {
    static constexpr const char* kName = "warp";

    CML_FN explicit WarpLoss(const Job& job)
        : margin(job.hyper.margin), rank_weights(job.rank_weights) {}

    template <class Lanes>
    CML_FN PairLoss evaluate(float positive, const float* negatives, int32_t n,
                             float pair_weight) const {
        const float limit = margin + positive;  // a negative nearer than this is an impostor
        int32_t impostors = 0;
        int32_t negative = -1;
        float hinge = 0.0f;
        for (int32_t block = 0; block < n; block += kLanes) {
            const Lanes hinges = Lanes::splat(limit) - Lanes::load(negatives + block, Full{});
            impostors += count_bits(Lanes::where_above(hinges, 0.0f));
            const float largest = Lanes::largest(hinges);
            if (largest > hinge) {  // of several equally large hinges the first one is kept
                hinge = largest;
                negative = block + lowest_bit(Lanes::where_equal(hinges, largest));
            }
        }
        const float weight = rank_weights[impostors] * pair_weight;
        // |v_k - v_j|^2 <= 2 (d_ij^2 + d_ik^2), and d_ik^2 = limit - hinge. The gradients are twice
        // the weight times such a difference.
        const float spread = 2.0f * (positive + (limit - hinge));
        return {negative, impostors, weight, weight * hinge, 4.0f * weight * weight * spread};
    }

    float margin;
    const float* rank_weights;  // w, by the number of impostors
};

}  // namespace CML_TARGET
}  // namespace cml
