// Matrix products in registers. Every element is a chain of fused multiply-adds in the order of the
// terms, so the result is the same to the bit however the matrix is divided into blocks.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// An operand: element (row, step) is p[row * row_stride + step * step_stride].
struct Operand {
    const float* p;
    int64_t row_stride, step_stride;
};

// Lanes::kProductRows rows of a product, 32 columns (or a part of them) wide. Calls done(m, x) for
// each row m with x = sum over t < n of a(m, t) * b[t * b_stride ...].
template <class Lanes, class Part, class Done>
CML_FN void product(int n, const Operand& a, const float* b, int64_t b_stride, Part part,
                    Done done) {
    constexpr int kRows = Lanes::kProductRows;
    Lanes sums[kRows];
    CML_UNROLL
    for (int m = 0; m < kRows; ++m) sums[m] = Lanes::splat(0.0f);
    for (int t = 0; t < n; ++t) {
        const Lanes x = Lanes::load(b + t * b_stride, part);
        CML_UNROLL
        for (int m = 0; m < kRows; ++m) {
            sums[m].add_product(a.p[m * a.row_stride + t * a.step_stride], x, part);
        }
    }
    CML_UNROLL
    for (int m = 0; m < kRows; ++m) done(m, sums[m]);
}

}  // namespace CML_TARGET
}  // namespace cml
