// Working memory of tiles and the slots of mini-batches: sizes, and where each part begins. Used by
// the host, which allocates the memory, and by the kernels.
#pragma once

#include <cstddef>

#include "fragments.h"
#include "granularity.h"

namespace cml {

// A tile writes one gradient for each row that it may change. Its slots are, in this order, the
// users and the positives of its pairs and the negatives.
constexpr int64_t tile_slots(const Hyperparameters& hyper) {
    return int64_t{2} * hyper.tile_size + hyper.n_negatives;
}

struct TileSlots {
    int32_t* rows;  // of each slot, the number of its row in users or items; -1: none
    float* gradients;
    int64_t stride;
};

// Rows begin on cache lines and are an odd number of lines apart: the elements of a column, which
// are read one after another, are spread over the sets of the cache.
constexpr int64_t tile_stride(int64_t n_chunks) {
    return n_chunks * kLanes + kRowAlignment;
}

// Two matrices have rows that the lanes read together: the coefficients of pairs and negatives, and
// vectors as columns. Their columns are those of what is in a lane.
//
// On the CPU that is a pair, and there are so many columns. On CUDA it is a negative, and blocks of
// kLanes columns follow each other, so that the distances between the rows of a block are
// constants.
enum class InLane { kPair, kNegative };
constexpr int64_t kPairColumns = kTilePairs + kRowAlignment;
constexpr int64_t kColumnBlock = int64_t{kTilePairs} * kLanes;  // floats, of the coefficients

// Where the parts of a tile's workspace begin, in floats; each part is a multiple of a cache line.
// Matrix products work on blocks of rows, so that up to a block more is read than is there.
struct TileParts {
    static constexpr int64_t kBlock = 16;
    static constexpr int64_t kFloatsInPair = 8;       // sizeof(Pair) / sizeof(float), see draw.h
    static constexpr int64_t kArraysOfPairs = 7;      // of a float for each pair
    static constexpr int64_t kArraysOfNegatives = 2;  // of a float for each negative

    int64_t n_negatives, n_chunks;
    InLane in_lane;
    bool fragments;  // whether the vectors as columns are those of TileArrays for tensor cores

    constexpr int64_t negatives() const { return (n_negatives + 2 * kBlock - 1) / kBlock * kBlock; }
    constexpr int64_t stride() const { return tile_stride(n_chunks); }
    constexpr int64_t blocks() const { return (n_negatives + kLanes - 1) / kLanes; }
    constexpr int64_t coefficients() const {
        return in_lane == InLane::kPair ? negatives() * kPairColumns : blocks() * kColumnBlock;
    }
    constexpr int64_t columns() const {
        constexpr int64_t kFloats = kFragmentBlock / 2, kPairBlocks = kTilePairs / kFragmentSide;
        if (fragments) return n_chunks * (2 * blocks() + kPairBlocks) * kFloats;
        return n_chunks * kLanes * (in_lane == InLane::kPair ? kPairColumns : blocks() * kLanes);
    }
    constexpr int64_t pairs_at() const { return 0; }
    constexpr int64_t drawn_at() const { return pairs_at() + kTilePairs * kFloatsInPair; }
    constexpr int64_t of_pairs_at() const { return drawn_at() + negatives(); }
    constexpr int64_t of_negatives_at() const {
        return of_pairs_at() + kArraysOfPairs * kTilePairs;
    }
    constexpr int64_t coefficients_at() const {
        return of_negatives_at() + kArraysOfNegatives * negatives();
    }
    constexpr int64_t users_at() const { return coefficients_at() + coefficients(); }
    constexpr int64_t columns_at() const { return users_at() + kTilePairs * stride(); }
    constexpr int64_t positives_at() const { return columns_at() + columns(); }
    constexpr int64_t items_at() const { return positives_at() + kTilePairs * stride(); }
    constexpr int64_t slot_rows_at() const { return items_at() + negatives() * stride(); }
    constexpr int64_t gradients_at() const { return slot_rows_at() + 2 * kTilePairs + negatives(); }
    constexpr int64_t total() const {
        return gradients_at() + (2 * kTilePairs + negatives()) * stride();
    }
};

inline namespace CML_TARGET {

// Floats of the workspace that one worker needs.
constexpr int64_t workspace_floats(const Hyperparameters& hyper, InLane in_lane) {
    if (!shares_negatives(hyper.loss)) return 0;
    const bool fragments = in_lane == InLane::kNegative && hyper.bfloat16;
    const int64_t n_chunks = (hyper.n_dims + kLanes - 1) / kLanes;
    return TileParts{hyper.n_negatives, n_chunks, in_lane, fragments}.total();
}

// A slot of a mini-batch is a row that a part of the batch may change. The three slots of pair i
// are its user (3 i), its positive and its negative. Where pairs share negatives, tile t has the
// slots from t * tile_slots() on.
constexpr int64_t kSlotsOfPair = 3;

// Slots of a mini-batch of n pairs.
constexpr int64_t slots_of_batch(const Hyperparameters& hyper, int64_t n) {
    if (!shares_negatives(hyper.loss)) return kSlotsOfPair * n;
    return (n + hyper.tile_size - 1) / hyper.tile_size * tile_slots(hyper);
}

constexpr bool is_user_slot(const Hyperparameters& hyper, int64_t slot) {
    if (!shares_negatives(hyper.loss)) return slot % kSlotsOfPair == 0;
    return slot % tile_slots(hyper) < hyper.tile_size;
}

}  // namespace CML_TARGET
}  // namespace cml
