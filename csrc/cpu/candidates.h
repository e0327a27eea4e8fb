// The candidates of a search, ranked by their true distances.
#pragma once

#include <cstdint>

namespace cml {

// Rows of floats, one after another.
struct Rows {
    const float* data;
    int64_t n_rows;
    int64_t n_dims;
};

// The Euclidean distance of each of n pairs of a query and a point, computed in double precision.
// The same bits on every machine. Throws std::out_of_range if there is no such row.
void pair_distances(Rows queries, Rows points, const int64_t* query_of, const int64_t* point_of,
                    int64_t n, float* distances);

// What an approximate search proposes: `width` points for each query, in any order and perhaps
// several times; a negative number is none. Points [excluded[starts[q]], ...) of query q are no
// results.
struct Proposals {
    const int64_t* points;
    int64_t width;
    const int64_t* starts;
    const int64_t* excluded;
};

// The n nearest points that are proposed for each query: nearest first, equal distances by number,
// -1 and infinity where there are no more. Throws std::out_of_range if there is no such point.
void rank_proposals(Rows queries, Rows points, Proposals proposals, int64_t n, int64_t* found,
                    float* distances);

}  // namespace cml
