#include "exchange.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

namespace cml {
namespace {

// Scales vectors that are longer than the radius of a ball to this length.
class Ball {
 public:
    Ball(float radius, int64_t n_dims) : radius_(radius), sums_(static_cast<size_t>(n_dims)) {}

    void pull_in(float* vector) {
        const auto n = static_cast<int64_t>(sums_.size());
        float* const sums = sums_.data();
        for (int64_t i = 0; i < n; ++i) sums[i] = vector[i] * vector[i];
        // Halves are put together until one sum is left.
        for (int64_t left = n; left > 1; left /= 2) {
            const int64_t half = left / 2;
            const float* const upper = sums + half;
            for (int64_t i = 0; i < half; ++i) sums[i] += upper[i];
            if (left % 2 == 1) sums[0] += sums[left - 1];
        }
        const float norm = std::sqrt(sums[0]);
        if (!(norm > radius_)) return;
        const float scale = radius_ / norm;
        for (int64_t i = 0; i < n; ++i) vector[i] *= scale;
    }

 private:
    float radius_;
    std::vector<float> sums_;
};

void add(float* sums, const float* floats, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] += floats[i];
}

bool differ(const float* a, const float* b, int64_t n) {
    return std::memcmp(a, b, static_cast<size_t>(n) * sizeof(float)) != 0;
}

}  // namespace

int64_t pack(const Items& now, const Items& start, ExchangedFloats of_row, ParcelRoom packed) {
    int64_t n = 0;
    for (int64_t row = 0; row < now.n_rows; ++row) {
        const float* const vector = now.vectors + row * now.stride;
        const float* const before = start.vectors + row * start.stride;
        const float* const sums = now.accumulators + row * now.accumulator_stride;
        const float* const sums_before = start.accumulators + row * start.accumulator_stride;
        // At the edge of the ball a vector may come back to where it was; its accumulators do not.
        if (!differ(vector, before, of_row.vector) &&
            !differ(sums, sums_before, of_row.accumulators)) {
            continue;
        }
        packed.rows[n] = static_cast<int32_t>(row);
        float* const moved = packed.vectors + n * of_row.vector;
        for (int64_t i = 0; i < of_row.vector; ++i) moved[i] = vector[i] - before[i];
        float* const added = packed.accumulators + n * of_row.accumulators;
        for (int64_t i = 0; i < of_row.accumulators; ++i) added[i] = sums[i] - sums_before[i];
        ++n;
    }
    return n;
}

int64_t combine(const std::vector<Parcel>& changes, const Items& combined, ExchangedFloats of_row,
                float max_norm, ParcelRoom changed) {
    const auto [n_dims, width] = of_row;
    Ball ball(max_norm, n_dims);
    std::vector<int64_t> next(changes.size());  // in each parcel
    int64_t n = 0;
    for (int64_t row = 0; row < combined.n_rows; ++row) {
        float* const moved = changed.vectors + n * n_dims;
        float* const added = changed.accumulators + n * width;
        int count = 0;
        for (size_t worker = 0; worker < changes.size(); ++worker) {
            const Parcel& parcel = changes[worker];
            const int64_t at = next[worker];
            if (at == parcel.n || parcel.rows[at] != row) continue;
            if (count == 0) {
                std::fill_n(moved, n_dims, 0.0f);
                std::fill_n(added, width, 0.0f);
            }
            add(moved, parcel.vectors + at * n_dims, n_dims);
            add(added, parcel.accumulators + at * width, width);
            ++next[worker];
            ++count;
        }
        if (count == 0) continue;
        float* const vector = combined.vectors + row * combined.stride;
        float* const sums = combined.accumulators + row * combined.accumulator_stride;
        const int64_t n_at_once = n_dims / width;  // elements that have an accumulator in common
        for (int64_t i = 0; i < width; ++i) {
            const float sum = sums[i] + added[i];
            const float of_a_worker = sums[i] + added[i] / static_cast<float>(count);
            // Where nothing is known, nothing has moved.
            const float scale = std::sqrt(of_a_worker / std::max(sum, FLT_MIN));
            float* const elements = moved + i * n_at_once;
            for (int64_t k = 0; k < n_at_once; ++k) elements[k] *= scale;
            sums[i] = added[i] = sum;
        }
        add(moved, vector, n_dims);
        ball.pull_in(moved);
        std::copy_n(moved, n_dims, vector);
        changed.rows[n++] = static_cast<int32_t>(row);
    }
    return n;
}

void arrive(const Items& start, const Items& now, const Parcel& combined, const Parcel& own,
            ExchangedFloats of_row, float max_norm) {
    const auto [n_dims, width] = of_row;
    Ball ball(max_norm, n_dims);
    int64_t at = 0;  // in the own changes
    for (int64_t i = 0; i < combined.n; ++i) {
        const int64_t row = combined.rows[i];
        const float* const vector = combined.vectors + i * n_dims;
        const float* const sums = combined.accumulators + i * width;
        float* const vector_now = now.vectors + row * now.stride;
        float* const sums_now = now.accumulators + row * now.accumulator_stride;
        std::copy_n(vector, n_dims, start.vectors + row * start.stride);
        std::copy_n(sums, width, start.accumulators + row * start.accumulator_stride);
        std::copy_n(vector, n_dims, vector_now);
        std::copy_n(sums, width, sums_now);
        while (at < own.n && own.rows[at] < row) ++at;
        if (at == own.n || own.rows[at] != row) continue;
        add(vector_now, own.vectors + at * n_dims, n_dims);
        add(sums_now, own.accumulators + at * width, width);
        ball.pull_in(vector_now);  // the kernels count on that
    }
}

}  // namespace cml
