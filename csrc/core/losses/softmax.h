// The sampled softmax: the cross-entropy of picking the positive among all items by distance,
//
//   L = -log(p_ij / (p_ij + c sum_k p_ik)),   p_ij = exp(-d_ij^2 / temperature).
//
// With the importance weight c = J / U the sum over U negatives, drawn uniformly from J items,
// estimates the sum over all items, so that the number of negatives changes only the noise of the
// gradient (Bengio and Senecal, "Adaptive importance sampling to accelerate training of a neural
// probabilistic language model", 2008).
#pragma once

#include "../exponential.h"
#include "policy.h"

namespace cml {
inline namespace CML_TARGET {

struct SoftmaxLoss {
    static constexpr const char* kName = "softmax";

    CML_FN explicit SoftmaxLoss(const Job& job)
        : inverse_temperature(1.0f / job.hyper.temperature),
          importance_weight(job.hyper.importance_weight) {}

    template <class Lanes>
    CML_FN PairBlockLoss<Lanes> evaluate(const Lanes& positive, const Lanes& weight,
                                         const typename Lanes::Negatives& negatives) const {
        const Lanes rate = Lanes::splat(inverse_temperature);
        const Lanes c = Lanes::splat(importance_weight);
        const Lanes one = Lanes::splat(1.0f);
        // Exponents are taken relative to the smallest distance, so that none is above 0.
        Lanes nearest = positive;
        negatives.each([&](const Lanes& distance)
                           CML_INLINE_LAMBDA { nearest = smaller(nearest, distance); });
        nearest = negatives.least(nearest);
        Lanes impostors = Lanes::splat(0.0f);
        // c sum_k p_ik
        const Lanes others = negatives.replace([&](const Lanes& distance) CML_INLINE_LAMBDA {
            impostors = impostors + keep_where_above(positive - distance, 0.0f, one);
            return c * exp((nearest - distance) * rate);
        });
        const Lanes all = exp((nearest - positive) * rate) + others;
        const Lanes scale = Lanes::splat(2.0f) * rate * weight / all;
        negatives.replace([&](const Lanes& p) CML_INLINE_LAMBDA { return p * scale; });
        // The coefficient of the positive is the sum of those of the negatives, so that of the user
        // is zero.
        const Lanes loss = weight * (log(all) + (positive - nearest) * rate);
        return {Lanes::splat(0.0f), others * scale, loss, negatives.count(impostors)};
    }

    float inverse_temperature;
    float importance_weight;  // c
};

CML_SHARED_NEGATIVE_LOSS(SoftmaxLoss);

}  // namespace CML_TARGET
}  // namespace cml
