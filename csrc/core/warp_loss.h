// The paper's loss: a hinge on squared distances, weighted by the estimated rank of the positive
// (Hsieh et al., WWW 2017, eqs. 1 and 3; of the sampled negatives the one with the largest hinge
// is kept, section 3.5).
//
// A loss is a policy with the three functions below. It is shown the distance of the positive,
// then those of the negatives one by one, and answers with what the pair does to its rows.
#pragma once

#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

// The move that a pair asks for. It says nothing yet about how the move is made: see apply().
struct Contribution {
    int32_t negative;     // slot of the negative that is pushed away; -1: the pair is inactive
    int32_t impostors;
    float weight;         // of the loss, including the pair's own weight
    float loss;
    float gradient_bound; // an upper bound of every squared gradient norm, up to rounding
};

struct WarpLoss {
    float margin;
    const float* rank_weights;  // by number of impostors: log(floor(J * M / U) + 1)

    struct State {
        float positive;  // squared distance
        float limit;     // margin + positive: a negative nearer than this is an impostor
        float hinge;     // the largest so far
        int32_t negative;
        int32_t impostors;
    };

    CML_FN State begin(float positive) const {
        return {positive, margin + positive, 0.0f, -1, 0};
    }

    CML_FN void observe(State& s, int32_t slot, float distance) const {
        const float hinge = s.limit - distance;
        s.impostors += hinge > 0.0f ? 1 : 0;
        if (hinge > s.hinge) {
            s.hinge = hinge;
            s.negative = slot;
        }
    }

    CML_FN Contribution finish(const State& s, float pair_weight) const {
        const float weight = rank_weights[s.impostors] * pair_weight;
        // |v_k - v_j|^2 <= 2 (d_ij^2 + d_ik^2), and d_ik^2 = limit - hinge.
        const float spread = 2.0f * (s.positive + (s.limit - s.hinge));
        return {s.negative, s.impostors, weight, weight * s.hinge,
                4.0f * weight * weight * spread};
    }
};

}  // namespace CML_TARGET
}  // namespace cml
