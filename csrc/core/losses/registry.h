// The list of all losses. To add one: write a file beside this one (policy.h says what a loss
// provides) and include it here. The names that Python accepts, the kernels of the CPU and of CUDA,
// and the sizes of the workspaces follow from here. A hyper-parameter that no other loss has is a
// row of CML_LOSS_PARAMETERS in ../job.h.
#pragma once

#include "contrastive.h"
#include "shared_warp.h"
#include "softmax.h"
#include "warp.h"

namespace cml {
inline namespace CML_TARGET {

// Every pair has negatives of its own.
using PairwiseLosses = CML_LOSSES_SO_FAR(Pairwise);

// All pairs of a tile have the same negatives.
using SharedNegativeLosses = CML_LOSSES_SO_FAR(SharedNegatives);

// A Loss is a position in the first list or, counted on from its end, in the second one.
constexpr bool shares_negatives(Loss loss) {
    return static_cast<int>(loss) >= PairwiseLosses::kSize;
}

// Call f(policy) for the loss at this position of a list and return its result.
template <class First, class... Rest, class F>
CML_FN auto with_policy(LossList<First, Rest...>, int position, const Job& job, F f) {
    if constexpr (sizeof...(Rest) > 0) {
        if (position > 0) return with_policy(LossList<Rest...>{}, position - 1, job, f);
    }
    return f(First(job));
}

// Call f(policy) for the loss of a job, one with shared negatives, and return its result.
template <class F>
CML_FN auto with_shared_negative_loss(const Job& job, F f) {
    const int position = static_cast<int>(job.hyper.loss) - PairwiseLosses::kSize;
    return with_policy(SharedNegativeLosses{}, position, job, f);
}

}  // namespace CML_TARGET
}  // namespace cml
