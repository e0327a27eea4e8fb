// Into which units the samples of a job are divided. This depends on whether its pairs share
// negatives: if they do, the pairs of a tile are trained together.
#pragma once

#include "losses/registry.h"

namespace cml {
inline namespace CML_TARGET {

// Pairs whose gradients are computed as one: a tile, or a single pair.
constexpr int64_t pairs_in_unit(const Hyperparameters& hyper) {
    return shares_negatives(hyper.loss) ? hyper.tile_size : 1;
}

// Samples that a worker draws at once, except for what is left at the end of an epoch or a
// mini-batch.
constexpr int64_t samples_at_once(const Hyperparameters& hyper) {
    return shares_negatives(hyper.loss) ? hyper.tile_size : kLanes;
}

// How many gradients a mini-batch adds up in a row, at most. A tile counts as one, because the
// bound for gradients (FixedPoint::largest_gradient) is that of a whole tile where pairs share
// negatives.
constexpr int64_t summands(const Hyperparameters& hyper, int64_t batch_size) {
    const int64_t together = pairs_in_unit(hyper);
    return (batch_size + together - 1) / together;
}

// Launches begin and end at multiples of this, counted from the start of an epoch.
constexpr int64_t launch_granularity(const Job& job) {
    return job.batch_size > 0 ? job.batch_size : pairs_in_unit(job.hyper);
}

}  // namespace CML_TARGET
}  // namespace cml
