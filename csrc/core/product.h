// Matrix products in registers. Every element is a chain of fused multiply-adds in the order of the
// terms, so the result is the same to the bit however the matrix is divided into blocks.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// An operand whose rows are contiguous: element (row, step) is p[row * stride + step].
struct RowOperand {
    const float* p;
    int64_t stride;

    CML_FN float at(int row, int step) const { return p[row * stride + step]; }

    // Four steps of n rows.
    template <class Lanes, int n>
    CML_FN void load(int step, float (&x)[n][4]) const {
        CML_UNROLL
        for (int m = 0; m < n; ++m) Lanes::load_four(p + m * stride + step, x[m]);
    }
};

// An operand whose steps are contiguous: element (row, step) is p[step * stride + row].
struct StepOperand {
    const float* p;
    int64_t stride;

    CML_FN float at(int row, int step) const { return p[step * stride + row]; }

    template <class Lanes, int n>
    CML_FN void load(int step, float (&x)[n][4]) const {
        static_assert(n % 4 == 0, "rows are loaded by four");
        CML_UNROLL
        for (int s = 0; s < 4; ++s) {
            CML_UNROLL
            for (int m = 0; m < n; m += 4) {
                float four[4];
                Lanes::load_four(p + (step + s) * stride + m, four);
                CML_UNROLL
                for (int i = 0; i < 4; ++i) x[m + i][s] = four[i];
            }
        }
    }
};

// Lanes::kProductRows rows of a product, 32 columns (or a part of them) wide.
template <class Lanes>
struct ProductSums {
    static constexpr int kRows = Lanes::kProductRows;

    Lanes of[kRows];

    CML_FN ProductSums() {
        CML_UNROLL
        for (int m = 0; m < kRows; ++m) of[m] = Lanes::splat(0.0f);
    }

    // Row m += the sum over t < n of a(m, t) * b[t * b_stride ...].
    template <class Operand, class Part>
    CML_FN void add(int n, const Operand& a, const float* b, int64_t b_stride, Part part) {
        int t = 0;
        if constexpr (Lanes::kStepsAtOnce == 4) {
            CML_NO_UNROLL
            for (; t + 4 <= n; t += 4) {
                float x[kRows][4];
                a.template load<Lanes>(t, x);
                CML_UNROLL
                for (int s = 0; s < 4; ++s) {
                    const Lanes y = Lanes::load(b + (t + s) * b_stride, part);
                    CML_UNROLL
                    for (int m = 0; m < kRows; ++m) of[m].add_product(x[m][s], y, part);
                }
            }
        }
        CML_NO_UNROLL
        for (; t < n; ++t) {
            const Lanes y = Lanes::load(b + t * b_stride, part);
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) of[m].add_product(a.at(m, t), y, part);
        }
    }

    // done(m, x) for each row m.
    template <class Done>
    CML_FN void each(Done done) const {
        CML_UNROLL
        for (int m = 0; m < kRows; ++m) done(m, of[m]);
    }
};

}  // namespace CML_TARGET
}  // namespace cml
