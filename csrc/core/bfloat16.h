// Rounding to bfloat16, the upper 16 bits of a float: 8 bits of the significand.
//
// With `precision="bfloat16"` the operands of the products of a tile are rounded: rows when they
// are copied from the tables, and the coefficients of negatives after the loss; those of users and
// positives are not rounded. They stay floats, so everything else is the same. Their products are
// exact in float32, and a GPU can compute them on its tensor cores (cuda/tensor_cores.cuh).
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// The nearest bfloat16 (Veltkamp's splitting; a tie may go to either side). Not a number where |x|
// is above 2^111.
template <class Lanes>
CML_FN Lanes to_bfloat16(const Lanes& x) {
    const Lanes shifted = Lanes::splat(65537.0f) * x;  // 2^16 + 1
    return shifted - (shifted - x);
}

}  // namespace CML_TARGET
}  // namespace cml
