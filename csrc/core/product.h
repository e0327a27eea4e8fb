// Matrix products in registers. Every element is a chain of fused multiply-adds in the order of the
// terms, so the result is the same to the bit however the matrix is divided into blocks.
#pragma once

#include "fragments.h"
#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// An operand whose rows are contiguous: element (row, step) is p[row * stride + step].
struct RowOperand {
    const float* p;
    int64_t stride;

    CML_FN float at(int row, int step) const { return p[row * stride + step]; }
    CML_FN void advance(int steps) { p += steps; }

    // Floats 4 i to 4 i + 3 of a copy of n steps, row after row, and this copy as an operand.
    template <int kRows>
    CML_FN const float* four(unsigned i, unsigned n) const {
        return p + i / (n / 4) * stride + i % (n / 4) * 4;
    }
    template <int kRows>
    static CML_FN RowOperand copied(const float* copy, int n) {
        return {copy, n};
    }

    // Four steps of n rows.
    template <class Lanes, int n>
    CML_FN void load(float (&x)[n][4]) const {
        CML_UNROLL
        for (int m = 0; m < n; ++m) Lanes::load_four(p + m * stride, x[m]);
    }
};

// An operand whose steps are contiguous: element (row, step) is p[step * stride + row].
struct StepOperand {
    const float* p;
    int64_t stride;

    CML_FN float at(int row, int step) const { return p[step * stride + row]; }
    CML_FN void advance(int steps) { p += steps * stride; }

    // The same of a copy of kRows rows, step after step.
    template <int kRows>
    CML_FN const float* four(unsigned i, unsigned) const {
        return p + i / (kRows / 4) * stride + i % (kRows / 4) * 4;
    }
    template <int kRows>
    static CML_FN StepOperand copied(const float* copy, int) {
        return {copy, kRows};
    }

    template <class Lanes, int n>
    CML_FN void load(float (&x)[n][4]) const {
        static_assert(n % 4 == 0, "rows are loaded by four");
        CML_UNROLL
        for (int s = 0; s < 4; ++s) {
            CML_UNROLL
            for (int m = 0; m < n; m += 4) {
                float four[4];
                Lanes::load_four(p + s * stride + m, four);
                CML_UNROLL
                for (int i = 0; i < 4; ++i) x[m + i][s] = four[i];
            }
        }
    }
};

// An operand for tensor cores. Blocks of kFragmentSide steps are block_stride apart: element
// (row, step) of the first one is p[row * stride + step * kStepStride].
template <int kStepStride>
struct BlockOperand {
    const float* p;
    int64_t stride;
    int64_t block_stride;
};

// Call f(j, part) for the chunks j < kChunks of 32 columns, the last of which may be incomplete.
template <int kChunks, class Part, class F>
CML_FN void each_chunk(Part part, F f) {
    CML_UNROLL
    for (int j = 0; j < kChunks - 1; ++j) f(j, Full{});
    f(kChunks - 1, part);
}

// Lanes::kProductRows rows of a product, kChunks chunks of 32 columns wide. What is loaded of the
// first operand is used for all of them.
template <class Lanes, int kChunks>
struct ProductSums {
    static constexpr int kRows = Lanes::kProductRows;

    Lanes of[kChunks][kRows];

    CML_FN ProductSums() {
        CML_UNROLL
        for (int j = 0; j < kChunks; ++j) {
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) of[j][m] = Lanes::splat(0.0f);
        }
    }

    // Row m += the sum over t < n of a(m, t) * b[t * b_stride ...]. The chunks of b are
    // chunk_stride apart; `part` is that of the last.
    template <class Operand, class Part>
    CML_FN void add(int n, Operand a, const float* b, int64_t b_stride, int64_t chunk_stride,
                    Part part) {
        if constexpr (Lanes::kStepsAtOnce == 4) {
            // Pointers that move take fewer registers and instructions than steps that are counted.
            CML_NO_UNROLL
            for (; n >= 4; n -= 4) {
                float x[kRows][4];
                a.template load<Lanes>(x);
                CML_UNROLL
                for (int s = 0; s < 4; ++s) {
                    add_step([&](int m) CML_INLINE_LAMBDA { return x[m][s]; }, b + s * b_stride,
                             chunk_stride, part);
                }
                a.advance(4);
                b += 4 * b_stride;
            }
        }
        CML_NO_UNROLL
        for (int t = 0; t < n; ++t) {
            add_step([&](int m) CML_INLINE_LAMBDA { return a.at(m, t); }, b + t * b_stride,
                     chunk_stride, part);
        }
    }

    // The same by a squad, which copies stages of Squad::kSteps steps: one is on its way while the
    // one before it is multiplied. a(t) is the first operand from step t on.
    template <class Squad, class OperandAt, class Part>
    CML_FN void add_staged(Squad& squad, int n, OperandAt a, const float* b, int64_t b_stride,
                           int64_t chunk_stride, Part part) {
        constexpr int kSteps = Squad::kSteps;
        const auto first = a(0);
        const float* const rows = squad.rows_from(first);
        const float* columns = squad.template columns_from<kChunks>(b, b_stride, chunk_stride);
        const auto copy = [&](int t) CML_INLINE_LAMBDA {
            squad.template copy<kChunks>(rows + (a(t).p - first.p), columns, b_stride);
            columns += kSteps * b_stride;
        };
        if (n > 0) copy(0);
        CML_NO_UNROLL
        for (int t = 0; t < n; t += kSteps) {
            squad.next_stage();
            if (t + kSteps < n) copy(t + kSteps);
            if (squad.idle()) continue;
            add(n - t < kSteps ? n - t : kSteps, squad.rows_of(first), squad.columns(),
                kChunks * kLanes, kLanes, part);
        }
    }

    // On tensor cores: row m = the sum over t < n of a(m, t) * b(column, t), for the columns of the
    // chunks from `first` on.
    template <class Operand>
    CML_FN void set(int n, Operand a, const Fragments& b, int64_t first) {
        Lanes::multiply(of, n, a, b, first);
    }

    // done(m, j, part, x) for row m of chunk j.
    template <class Part, class Done>
    CML_FN void each(Part part, Done done) const {
        each_chunk<kChunks>(part, [&](int j, auto part_of_j) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) done(m, j, part_of_j, of[j][m]);
        });
    }

 private:
    template <class Factor, class Part>
    CML_FN void add_step(Factor factor, const float* b, int64_t chunk_stride, Part part) {
        each_chunk<kChunks>(part, [&](int j, auto part_of_j) CML_INLINE_LAMBDA {
            const Lanes y = Lanes::load(b + j * chunk_stride, part_of_j);
            CML_UNROLL
            for (int m = 0; m < kRows; ++m) of[j][m].add_product(factor(m), y, part_of_j);
        });
    }
};

}  // namespace CML_TARGET
}  // namespace cml
