// How the changes that several workers made to the items become one. _exchange.py in
// python/cml_fast/distributed says when this is done and what is computed.
//
// Everything is added in the order of the workers, element by element and without fused
// multiply-adds, so the result has the same bits on every machine.
#pragma once

#include <cstdint>
#include <vector>

namespace cml {

// Items of a worker, or some of them that follow each other.
struct Items {
    float* vectors;
    float* accumulators;
    int64_t n_rows;
    int64_t stride;              // floats from one vector to the next
    int64_t accumulator_stride;  // from the accumulators of a row to those of the next
};

// What is exchanged of a row.
struct ExchangedFloats {
    int64_t vector;        // the number of dimensions
    int64_t accumulators;  // as many, or 1
};

// Changes of some of these items, or where these are now: rows in ascending order, no padding.
struct Parcel {
    const int32_t* rows;
    const float* vectors;
    const float* accumulators;
    int64_t n;
};

// Room for a parcel of as many rows as there can be.
struct ParcelRoom {
    int32_t* rows;
    float* vectors;
    float* accumulators;
};

// How far the rows that differ have moved since `start`. Returns their number.
int64_t pack(const Items& now, const Items& start, ExchangedFloats of_row, ParcelRoom packed);

// Add what workers changed to the combined rows, keep these in the ball of radius `max_norm`, and
// copy those that changed. Returns their number.
int64_t combine(const std::vector<Parcel>& changes, const Items& combined, ExchangedFloats of_row,
                float max_norm, ParcelRoom changed);

// Take over combined rows in `start`, and in `now` with the own changes, if there are any for a
// row, that have been made since.
void arrive(const Items& start, const Items& now, const Parcel& combined, const Parcel& own,
            ExchangedFloats of_row, float max_norm);

}  // namespace cml
