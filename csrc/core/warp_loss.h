// The paper's loss: a hinge on squared distances, weighted by the estimated rank of the positive
// (Hsieh et al., WWW 2017, eqs. 1 and 3; of the sampled negatives the one with the largest hinge
// is kept, section 3.5).
//
// A loss is a policy: evaluate() is shown the squared distances of a pair's positive and of its
// negatives, and answers with what the pair does to its rows.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// The move that a pair asks for. It says nothing yet about how the move is made: see apply().
struct Contribution {
    int32_t negative;  // slot of the negative that is pushed away; -1: the pair is inactive
    int32_t impostors;
    float weight;  // of the loss, including the pair's own weight
    float loss;
    float gradient_bound;  // an upper bound of every squared gradient norm, up to rounding
};

struct WarpLoss {
    float margin;
    const float* rank_weights;  // by number of impostors: log(floor(J * M / U) + 1)

    // `negatives` has the distances of n negatives, then infinity to the end of a block of lanes.
    template <class Lanes>
    CML_FN Contribution evaluate(float positive, const float* negatives, int32_t n,
                                 float pair_weight) const {
        // A negative nearer than the limit is an impostor.
        const float limit = margin + positive;
        int32_t impostors = 0;
        int32_t slot = -1;
        float hinge = 0.0f;
        for (int32_t block = 0; block < n; block += kLanes) {
            const Lanes hinges = Lanes::splat(limit) - Lanes::load(negatives + block, Full{});
            impostors += count_bits(Lanes::where_above(hinges, 0.0f));
            const float largest = Lanes::largest(hinges);
            if (largest > hinge) {  // so the first of several that are as large stays
                hinge = largest;
                slot = block + lowest_bit(Lanes::where_equal(hinges, largest));
            }
        }
        const float weight = rank_weights[impostors] * pair_weight;
        // |v_k - v_j|^2 <= 2 (d_ij^2 + d_ik^2), and d_ik^2 = limit - hinge.
        const float spread = 2.0f * (positive + (limit - hinge));
        return {slot, impostors, weight, weight * hinge, 4.0f * weight * weight * spread};
    }
};

}  // namespace CML_TARGET
}  // namespace cml
