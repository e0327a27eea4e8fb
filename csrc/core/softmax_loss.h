// The sampled softmax: the loss of naming the positive among all items, by distance,
//
//   L = -log(p_ij / (p_ij + c sum_k p_ik)),  p_ij = exp(-d_ij^2 / temperature).
//
// With c = J / U the sum over U negatives, drawn uniformly from J items, estimates the sum over all
// of them; the number of negatives then decides on the noise alone (Bengio and Senecal, "Adaptive
// importance sampling to accelerate training of a neural probabilistic language model", 2008).
#pragma once

#include "exponential.h"
#include "tile_loss.h"

namespace cml {
inline namespace CML_TARGET {

struct SoftmaxLoss {
    float inverse_temperature;
    float correction;  // c

    template <class Lanes>
    CML_FN TileTerms<Lanes> evaluate(const Lanes& positive, const Lanes& weight, float* negatives,
                                     int64_t stride, int32_t n) const {
        const Lanes rate = Lanes::splat(inverse_temperature);
        const Lanes c = Lanes::splat(correction);
        const Lanes one = Lanes::splat(1.0f);
        Lanes nearest = positive;  // exponents are taken from here, so that none is above 0
        for (int32_t k = 0; k < n; ++k) {
            nearest = smaller(nearest, Lanes::load(negatives + k * stride, Full{}));
        }
        Lanes others = Lanes::splat(0.0f);
        Lanes impostors = Lanes::splat(0.0f);
        for (int32_t k = 0; k < n; ++k) {
            const Lanes distance = Lanes::load(negatives + k * stride, Full{});
            const Lanes p = c * exp((nearest - distance) * rate);
            p.store(negatives + k * stride, Full{});
            others = others + p;
            impostors = impostors + keep_where_above(positive - distance, 0.0f, one);
        }
        const Lanes all = exp((nearest - positive) * rate) + others;
        const Lanes scale = Lanes::splat(2.0f) * rate * weight / all;
        for (int32_t k = 0; k < n; ++k) {
            float* const p = negatives + k * stride;
            (Lanes::load(p, Full{}) * scale).store(p, Full{});
        }
        // The pull of the positive is the sum of all pushes: the user's own row drops out.
        const Lanes loss = weight * (log(all) + (positive - nearest) * rate);
        return {Lanes::splat(0.0f), others * scale, loss, impostors};
    }
};

}  // namespace CML_TARGET
}  // namespace cml
