// The contrastive loss: the positive is pulled in, every negative that is too near pushed out,
//
//   L = d_ij^2 + W / U sum_k [margin - d_ik^2]_+
//
// (Hadsell, Chopra and LeCun, CVPR 2006, on squared distances; with many negatives and cosines:
// Mao et al., "SimpleX", CIKM 2021, eq. 3, for vectors on a sphere d^2 = 2 - 2 cos).
#pragma once

#include "tile_loss.h"

namespace cml {
inline namespace CML_TARGET {

struct ContrastiveLoss {
    float margin;
    float negative_weight;  // W / U

    template <class Lanes>
    CML_FN TileTerms<Lanes> evaluate(const Lanes& positive, const Lanes& weight, float* negatives,
                                     int64_t stride, int32_t n) const {
        const Lanes limit = Lanes::splat(margin);
        const Lanes pull = Lanes::splat(2.0f) * weight;
        const Lanes push = Lanes::splat(negative_weight) * pull;
        const Lanes one = Lanes::splat(1.0f);
        Lanes hinges = Lanes::splat(0.0f);
        Lanes impostors = Lanes::splat(0.0f);
        for (int32_t k = 0; k < n; ++k) {
            float* const p = negatives + k * stride;
            const Lanes hinge = limit - Lanes::load(p, Full{});
            keep_where_above(hinge, 0.0f, push).store(p, Full{});
            hinges = hinges + keep_where_above(hinge, 0.0f, hinge);
            impostors = impostors + keep_where_above(hinge, 0.0f, one);
        }
        const Lanes loss = weight * (positive + Lanes::splat(negative_weight) * hinges);
        return {pull - push * impostors, pull, loss, impostors};
    }
};

}  // namespace CML_TARGET
}  // namespace cml
