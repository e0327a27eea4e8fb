// The paper's loss: a hinge on squared distances, weighted by the estimated rank of the positive
// (Hsieh et al., WWW 2017, eqs. 1 and 3; of the sampled negatives the one with the largest hinge
// is kept, section 3.5).
//
// A loss is a policy: evaluate() is shown the squared distances of a pair's positive and of its
// negatives, and answers with what the pair does to its rows.
#pragma once

#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

// The move that a pair asks for. It says nothing yet about how the move is made: see apply().
struct Contribution {
    int32_t negative;      // slot of the negative that is pushed away; -1: the pair is inactive
    int32_t impostors;
    float weight;          // of the loss, including the pair's own weight
    float loss;
    float gradient_bound;  // an upper bound of every squared gradient norm, up to rounding
};

struct WarpLoss {
    float margin;
    const float* rank_weights;  // by number of impostors: log(floor(J * M / U) + 1)

    template <class Lanes>
    CML_FN Contribution evaluate(float positive, const float* negatives, int32_t n,
                                 float pair_weight) const {
        // A negative nearer than the limit is an impostor. Hinges are compared as integers:
        // the bits of floats above 0 are ordered as their values are.
        const float limit = margin + positive;
        const auto hinge_bits = [=](int32_t slot) CML_INLINE_LAMBDA {
            const float hinge = limit - negatives[slot];
            return hinge > 0.0f ? bits_of(hinge) : 0;
        };
        const auto is_impostor = [=](int32_t slot) CML_INLINE_LAMBDA {
            return hinge_bits(slot) > 0 ? 1 : 0;
        };
        const int32_t largest = Lanes::max_of(n, hinge_bits);
        const int32_t impostors = Lanes::sum_of(n, is_impostor);
        if (impostors == 0) return {-1, 0, 0.0f, 0.0f, 0.0f};
        const auto place = [=](int32_t slot) CML_INLINE_LAMBDA {
            return hinge_bits(slot) == largest ? -slot : INT32_MIN;
        };
        const int32_t slot = -Lanes::max_of(n, place);  // the first, where several are as large
        const float hinge = float_of(largest);
        const float weight = rank_weights[impostors] * pair_weight;
        // |v_k - v_j|^2 <= 2 (d_ij^2 + d_ik^2), and d_ik^2 = limit - hinge.
        const float spread = 2.0f * (positive + (limit - hinge));
        return {slot, impostors, weight, weight * hinge, 4.0f * weight * weight * spread};
    }
};

}  // namespace CML_TARGET
}  // namespace cml
