// What Python sees of the losses, and numbers that the kernels need for them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../core/job.h"

namespace cml {

// The name of every loss, and whether its pairs share negatives: those of core/losses/registry.h in
// the order of their numbers.
const std::vector<std::pair<std::string, bool>>& losses();

// The loss of this name. Throws std::invalid_argument if there is none.
Loss loss_named(const std::string& name);

// Whether the precision of this name is bfloat16. Throws std::invalid_argument if there is none.
bool is_bfloat16(const std::string& precision);

// The keyword arguments of the hyper-parameters that belong to single losses.
const std::vector<std::string>& loss_parameters();

// The rounding for batches of this size and gradients up to this norm. Both powers of two must be
// in the range of float: 2^-100 < largest_gradient < 2^100.
FixedPoint fixed_point(int64_t batch_size, float largest_gradient);

// log(floor(J M / U) + 1) for M = 0 ... U as float32: the rank weights of core/losses/warp.h.
std::vector<float> rank_weights(int64_t n_items, int64_t n_negatives);

}  // namespace cml
