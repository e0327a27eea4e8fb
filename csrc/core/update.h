// The update of a row: one AdaGrad step, then the projection onto the ball of radius max_norm
// (Hsieh et al., section 3.5).
//
//   update_row   updates one row; the caller gives its gradient as a function
//   step_row     updates one row along a gradient that lies in memory, if that is not too large
//   update_rows  updates the three rows of a triplet, whose gradients it computes
//
// Rows are handled in chunks of 32 elements. Functions of a chunk get its number c and `part`,
// which says how many of its elements belong to the row (see lanes.h and rows.h).
#pragma once

#include "rows.h"

namespace cml {
inline namespace CML_TARGET {

// A squared gradient norm above this counts as divergence. The bound keeps the accumulators, sums
// of such squares, far from overflow.
constexpr float kLargestSquaredGradient = 1e30f;

// The rows of a triplet are its user (0), its positive (1) and its negative (2). With the factor
// f = 2 w the gradient of row t is f times the difference of two rows, plus_row(t) - minus_row(t):
//
//   t             gradient        plus_row  minus_row
//   0 (user)      f (v_k - v_j)   2         1
//   1 (positive)  f (v_j - u)     1         0
//   2 (negative)  f (u - v_k)     0         2
constexpr int kTripletRows = 3;
constexpr int plus_row(int t) {
    return 2 - t;
}
constexpr int minus_row(int t) {
    return t == 2 ? 2 : 1 - t;
}

// Project a row onto the ball of radius max_norm and store it. `after` has the new row in chunks,
// `squares` the sum of their squares in each lane, and before(c, part) returns the old row's chunk
// c. `Memory` may need that: on CUDA, where others may change the row meanwhile, the difference
// after - before is added atomically. A row that is not finite is not stored; returns whether it
// was finite.
template <class Lanes, int kChunks, class Memory, class Before>
CML_FN bool store_projected(const Hyperparameters& hyper, const Memory& memory, float* row,
                            Before before, const Lanes* after, const Lanes& squares) {
    float square[1];
    Lanes::sum({squares}, square);
    if (square[0] - square[0] != 0.0f) return false;  // infinite or NaN
    const float norm = square_root(square[0]);
    const float limit = hyper.max_norm;
    // The scale is 1 inside the ball.
    const Lanes shrink = Lanes::splat(limit / (norm > limit ? norm : limit));
    Chunks<Lanes, kChunks>{hyper.n_dims}.each([&](int c, auto part) CML_INLINE_LAMBDA {
        memory.commit(row + c * kLanes, before(c, part), after[c] * shrink, part);
    });
    return true;
}

// One AdaGrad step of a row and its projection. gradient(c, part) returns chunk c of its gradient
// and is called once for each chunk. before(c, part) and the result are as for store_projected.
//
// Row-wise AdaGrad accumulates the mean of the squared elements, so that all elements have the same
// step size, and the step has the direction of the gradient.
template <class Lanes, int kChunks, class Memory, class Before, class Gradient>
CML_FN bool update_row(const Hyperparameters& hyper, const Memory& memory, float* row,
                       float* accumulators, Before before, Gradient gradient) {
    const Chunks<Lanes, kChunks> chunks{hyper.n_dims};
    Lanes after[chunks.kRoom];
    Lanes squares = Lanes::splat(0.0f);
    if (hyper.rowwise) {
        const float old = memory.load_one(accumulators);  // arrives while the gradient does
        Lanes gradient_squares = Lanes::splat(0.0f);
        chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
            after[c] = gradient(c, part);
            gradient_squares.add(after[c] * after[c], part);
        });
        float square[1];
        Lanes::sum({gradient_squares}, square);
        const float sum = old + square[0] / static_cast<float>(hyper.n_dims);
        memory.commit_one(accumulators, old, sum);
        const Lanes rate = Lanes::splat(hyper.learning_rate / square_root(sum + hyper.epsilon));
        chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
            after[c] = before(c, part) - rate * after[c];
            squares.add(after[c] * after[c], part);
        });
    } else {
        const Lanes rate = Lanes::splat(hyper.learning_rate);
        const Lanes epsilon = Lanes::splat(hyper.epsilon);
        chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
            const Lanes g = gradient(c, part);
            float* const accumulator = accumulators + c * kLanes;
            const Lanes old = memory.load(accumulator, part);
            const Lanes sum = old + g * g;
            memory.commit(accumulator, old, sum, part);
            after[c] = before(c, part) - rate * g / sqrt(sum + epsilon);
            squares.add(after[c] * after[c], part);
        });
    }
    return store_projected<Lanes, kChunks>(hyper, memory, row, before, after, squares);
}

// Whether the squared norm of a gradient is at most kLargestSquaredGradient; its chunks are
// gradient(c, part).
template <class Lanes, int kChunks, class Gradient>
CML_FN bool is_bounded(const Chunks<Lanes, kChunks>& chunks, Gradient gradient) {
    Lanes squares = Lanes::splat(0.0f);
    chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
        const Lanes g = gradient(c, part);
        squares.add(g * g, part);
    });
    float square[1];
    Lanes::sum({squares}, square);
    return square[0] <= kLargestSquaredGradient;
}

// One step of a row along the i-th of these gradients. Returns false, and leaves the row as it was,
// if the gradient is too large (see is_bounded) or the new row would not be finite.
template <class Lanes, int kChunks, class Memory>
CML_FN bool step_row(const Hyperparameters& hyper, const Memory& memory,
                     const RowGradients& gradients, int64_t i) {
    const Chunks<Lanes, kChunks> chunks{hyper.n_dims};
    const Table& table = gradients.table;
    const float* const values = gradients.values + i * table.stride;
    const auto gradient = [&](int c, auto part)
                              CML_INLINE_LAMBDA { return Lanes::load(values + c * kLanes, part); };
    float* const row = row_of(table, gradients.rows[i]);
    if (!is_bounded(chunks, gradient)) return false;
    return update_row<Lanes, kChunks>(
        hyper, memory, row, accumulators_of(table, gradients.rows[i]),
        [&](int c, auto part) CML_INLINE_LAMBDA { return memory.load(row + c * kLanes, part); },
        gradient);
}

// One step of the three rows of a triplet; all gradients are computed from the old rows.
// adjust(g, part) is called with each chunk g of a gradient and returns the chunk to use instead,
// for example g rounded to fixed point. Returns whether all new rows were finite.
template <class Lanes, int kChunks, class Memory, class Adjust>
CML_FN bool update_rows(const Job& job, const Memory& memory, const Triplet& triplet,
                        Adjust adjust) {
    const Chunks<Lanes, kChunks> chunks{job.hyper.n_dims};
    float* const rows[kTripletRows] = {row_of(job.users, triplet.user),
                                       row_of(job.items, triplet.positive),
                                       row_of(job.items, triplet.negative)};
    float* const accumulators[kTripletRows] = {accumulators_of(job.users, triplet.user),
                                               accumulators_of(job.items, triplet.positive),
                                               accumulators_of(job.items, triplet.negative)};
    Lanes before[chunks.kRoom][kTripletRows];
    chunks.each([&](int c, auto part) CML_INLINE_LAMBDA {
        CML_UNROLL
        for (int t = 0; t < kTripletRows; ++t)
            before[c][t] = memory.load(rows[t] + c * kLanes, part);
    });
    const Lanes factor = Lanes::splat(triplet.factor);
    bool finite = true;
    CML_UNROLL
    for (int t = 0; t < kTripletRows; ++t) {
        finite &= update_row<Lanes, kChunks>(
            job.hyper, memory, rows[t], accumulators[t],
            [&](int c, auto) CML_INLINE_LAMBDA { return before[c][t]; },
            [&](int c, auto part) CML_INLINE_LAMBDA {
                return adjust(factor * (before[c][plus_row(t)] - before[c][minus_row(t)]), part);
            });
    }
    return finite;
}

}  // namespace CML_TARGET
}  // namespace cml
