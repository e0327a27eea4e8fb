// Asynchronous updates: every pair changes its rows at once. Workers share the tables without locks
// (Hogwild: Recht et al., NIPS 2011), so results are repeatable only with a single worker.
#pragma once

#include "pair_step.h"
#include "update.h"

namespace cml {
inline namespace CML_TARGET {

template <class Lanes, class Memory, int kChunks>
class AsyncUpdates {
 public:
    CML_FN AsyncUpdates(const Job& job, Memory memory)
        : job_(job), memory_(memory), chunks_{job.hyper.n_dims} {}

    CML_FN void prefetch(const Pair& pair) const {
        fetch_accumulators(chunks_, job_.users, pair.user);
        fetch_accumulators(chunks_, job_.items, pair.positive);
    }

    CML_FN void on_negative(int32_t negative) const {
        fetch_accumulators(chunks_, job_.items, negative);
    }

    CML_FN bool apply(int64_t, const Pair& pair, int32_t negative, const PairLoss& loss) const {
        if (negative < 0) return true;
        if (!(loss.gradient_bound <= kLargestSquaredGradient)) return false;
        const Triplet triplet{pair.user, pair.positive, negative, 2.0f * loss.weight};
        return update_rows<Lanes, kChunks>(job_, memory_, triplet,
                                           [](const Lanes& gradient, auto)
                                               CML_INLINE_LAMBDA { return gradient; });
    }

 private:
    const Job& job_;
    Memory memory_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
