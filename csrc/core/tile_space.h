// Working memory of a tile: where its parts are. Also for the host, which makes it.
#pragma once

#include <cstddef>

#include "job.h"

namespace cml {

// Rows of a tile that may change, in this order: the users and the positives of its pairs, and the
// negatives. The gradient of each is written down.
constexpr int64_t tile_slots(int64_t n_negatives) {
    return 2 * kTilePairs + n_negatives;
}

struct TileSlots {
    int32_t* rows;  // of each slot, the number of its row in users or items; -1: none
    float* gradients;
    int64_t stride;
};

// Rows begin on cache lines, an odd number of them apart: the elements of a column, read one after
// another, are spread over the cache.
constexpr int64_t tile_stride(int64_t n_chunks) {
    return n_chunks * kLanes + kRowAlignment;
}

// The same for matrices with a column for each pair. On CUDA lanes read such rows together, and a
// number that is no power of two takes more registers.
constexpr int64_t kCpuColumns = kTilePairs + kRowAlignment;
constexpr int64_t kCudaColumns = kTilePairs;

// In floats, each part a multiple of a cache line. Products are taken in blocks, so that up to a
// block more is read than is there.
struct TileParts {
    static constexpr int64_t kBlock = 16;

    int64_t n_negatives, n_chunks;
    int64_t columns;  // kCpuColumns or kCudaColumns

    constexpr int64_t negatives() const { return (n_negatives + 2 * kBlock - 1) / kBlock * kBlock; }
    constexpr int64_t stride() const { return tile_stride(n_chunks); }
    constexpr int64_t pairs_at() const { return 0; }
    constexpr int64_t drawn_at() const { return pairs_at() + kTilePairs * 8; }
    constexpr int64_t of_pairs_at() const { return drawn_at() + negatives(); }
    constexpr int64_t of_negatives_at() const { return of_pairs_at() + 5 * kTilePairs; }
    constexpr int64_t pushes_at() const { return of_negatives_at() + 2 * negatives(); }
    constexpr int64_t users_at() const { return pushes_at() + negatives() * columns; }
    constexpr int64_t columns_at() const { return users_at() + kTilePairs * stride(); }
    constexpr int64_t positives_at() const { return columns_at() + n_chunks * kLanes * columns; }
    constexpr int64_t items_at() const { return positives_at() + kTilePairs * stride(); }
    constexpr int64_t slot_rows_at() const { return items_at() + negatives() * stride(); }
    constexpr int64_t gradients_at() const { return slot_rows_at() + 2 * kTilePairs + negatives(); }
    constexpr int64_t total() const {
        return gradients_at() + (2 * kTilePairs + negatives()) * stride();
    }
};

// What one worker needs, in floats.
constexpr int64_t space_floats(const Hyperparameters& hyper, int64_t columns) {
    if (hyper.loss == Loss::kWarp) return 0;
    return TileParts{hyper.n_negatives, (hyper.n_dims + kLanes - 1) / kLanes, columns}.total();
}

// Slots of a mini-batch of n pairs. A slot is a row that a part of it touches: slots 3 i, 3 i + 1
// and 3 i + 2 are the user, the positive and the negative of pair i; or, where pairs share their
// negatives, tile t has the slots from t * tile_slots() on.
constexpr int64_t slots_of_batch(const Hyperparameters& hyper, int64_t n) {
    if (hyper.loss == Loss::kWarp) return 3 * n;
    return (n + hyper.tile_size - 1) / hyper.tile_size * tile_slots(hyper.n_negatives);
}

constexpr bool is_user_slot(const Hyperparameters& hyper, int64_t slot) {
    if (hyper.loss == Loss::kWarp) return slot % 3 == 0;
    return slot % tile_slots(hyper.n_negatives) < kTilePairs;
}

}  // namespace cml
