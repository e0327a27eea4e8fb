#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cml {
namespace {

// Sums that are added up side by side, so that additions do not wait for each other.
constexpr int kSums = 8;

float distance(const float* a, const float* b, int64_t n) {
    double sums[kSums] = {};
    int64_t i = 0;
    for (; i + kSums <= n; i += kSums) {
        for (int k = 0; k < kSums; ++k) {
            const double difference = static_cast<double>(a[i + k]) - b[i + k];
            sums[k] += difference * difference;
        }
    }
    for (int k = 0; i < n; ++i, ++k) {
        const double difference = static_cast<double>(a[i]) - b[i];
        sums[k] += difference * difference;
    }
    for (int half = kSums / 2; half > 0; half /= 2) {
        for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
    }
    return static_cast<float>(std::sqrt(sums[0]));
}

const float* row_of(Rows rows, int64_t row, const char* what) {
    if (row < 0 || row >= rows.n_rows) {
        throw std::out_of_range("there are " + std::to_string(rows.n_rows) + " " + what +
                                ", got number " + std::to_string(row));
    }
    return rows.data + row * rows.n_dims;
}

}  // namespace

void pair_distances(Rows queries, Rows points, const int64_t* query_of, const int64_t* point_of,
                    int64_t n, float* distances) {
    for (int64_t i = 0; i < n; ++i) {
        distances[i] = distance(row_of(queries, query_of[i], "queries"),
                                row_of(points, point_of[i], "points"), points.n_dims);
    }
}

void rank_proposals(Rows queries, Rows points, Proposals proposals, int64_t n, int64_t* found,
                    float* distances) {
    std::vector<int64_t> proposed, excluded;
    std::vector<std::pair<float, int64_t>> ranked;
    for (int64_t query = 0; query < queries.n_rows; ++query) {
        const float* own = row_of(queries, query, "queries");
        const int64_t* first = proposals.points + query * proposals.width;
        proposed.assign(first, first + proposals.width);
        std::sort(proposed.begin(), proposed.end());
        proposed.erase(std::unique(proposed.begin(), proposed.end()), proposed.end());
        excluded.assign(proposals.excluded + proposals.starts[query],
                        proposals.excluded + proposals.starts[query + 1]);
        if (!std::is_sorted(excluded.begin(), excluded.end())) {
            std::sort(excluded.begin(), excluded.end());
        }
        ranked.clear();
        auto left_out = excluded.begin();
        for (const int64_t point : proposed) {
            if (point < 0) continue;
            left_out = std::lower_bound(left_out, excluded.end(), point);
            if (left_out != excluded.end() && *left_out == point) continue;
            ranked.emplace_back(distance(own, row_of(points, point, "points"), points.n_dims),
                                point);
        }
        const int64_t most = std::min(n, static_cast<int64_t>(ranked.size()));
        std::partial_sort(ranked.begin(), ranked.begin() + most, ranked.end());
        for (int64_t i = 0; i < n; ++i) {
            found[query * n + i] = i < most ? ranked[static_cast<size_t>(i)].second : -1;
            distances[query * n + i] = i < most ? ranked[static_cast<size_t>(i)].first
                                                : std::numeric_limits<float>::infinity();
        }
    }
}

}  // namespace cml
