// The contrastive loss: it pulls the positive towards the user and pushes every negative that is
// nearer than the margin away,
//
//   L = d_ij^2 + W / U sum_k [margin - d_ik^2]_+
//
// (Hadsell, Chopra and LeCun, CVPR 2006, on squared distances; with many negatives and cosines:
// Mao et al., "SimpleX", CIKM 2021, eq. 3, because d^2 = 2 - 2 cos for vectors on a sphere).
#pragma once

#include "policy.h"

namespace cml {
inline namespace CML_TARGET {

struct ContrastiveLoss {
    static constexpr const char* kName = "contrastive";

    CML_FN explicit ContrastiveLoss(const Job& job)
        : margin(job.hyper.margin), negative_weight(job.hyper.negative_weight) {}

    template <class Lanes>
    CML_FN PairBlockLoss<Lanes> evaluate(const Lanes& positive, const Lanes& weight,
                                         const typename Lanes::Negatives& negatives) const {
        const Lanes limit = Lanes::splat(margin);
        const Lanes positive_coefficient = Lanes::splat(2.0f) * weight;
        const Lanes negative_coefficient = Lanes::splat(negative_weight) * positive_coefficient;
        const Lanes one = Lanes::splat(1.0f);
        Lanes impostors = Lanes::splat(0.0f);
        const Lanes hinges = negatives.replace([&](const Lanes& distance) CML_INLINE_LAMBDA {
            const Lanes hinge = limit - distance;
            impostors = impostors + keep_where_above(hinge, 0.0f, one);
            return keep_where_above(hinge, 0.0f, hinge);
        });
        negatives.replace([&](const Lanes& hinge) CML_INLINE_LAMBDA {
            return keep_where_above(hinge, 0.0f, negative_coefficient);
        });
        impostors = negatives.count(impostors);
        const Lanes loss = weight * (positive + Lanes::splat(negative_weight) * hinges);
        return {positive_coefficient - negative_coefficient * impostors, positive_coefficient, loss,
                impostors};
    }

    float margin;
    float negative_weight;  // W / U
};

CML_SHARED_NEGATIVE_LOSS(ContrastiveLoss);

}  // namespace CML_TARGET
}  // namespace cml
