// Where a tile keeps its pairs, its negatives and the matrices of its products: workspace.h has the
// sizes of all parts.
#pragma once

#include "bfloat16.h"
#include "draw.h"
#include "fragments.h"
#include "lanes.h"
#include "shared_negatives.h"
#include "workspace.h"

namespace cml {
inline namespace CML_TARGET {

static_assert(sizeof(Pair) == TileParts::kFloatsInPair * sizeof(float), "see workspace.h");

// kFixedChunks: the number of chunks of a row, or 0, as for a Tile. kTensorCores: whether these
// compute the products, from matrices of bfloat16.
template <class L, int kFixedChunks, bool kTensorCores = false>
struct TileArrays {
    using Lanes = L;
    static constexpr int kRowChunks = kFixedChunks;
    static constexpr bool kFragments = kTensorCores;
    // Whether squads copy the operands of products to faster memory, see ProductSums.
    static constexpr bool kStaged = Lanes::kInLane == InLane::kNegative && !kTensorCores;
    // Registers have room for more sums where rows are short.
    static constexpr bool kShort = kRowChunks > 0 && kRowChunks <= 4;
    static constexpr int kProductChunks = kTensorCores && kShort ? 4 : Lanes::kProductChunks;
    // What a lane is, and the distances between rows that the lanes read: see workspace.h.
    static constexpr bool kPairInLane = Lanes::kInLane == InLane::kPair;
    static constexpr int64_t kColumnStride = kPairInLane ? kPairColumns : kLanes;
    // Negatives whose rows are copied side by side, as far as registers have room for them.
    static constexpr int kNegativesAtOnce = kPairInLane       ? 1
                                            : kRowChunks <= 4 ? kSharedDrawn
                                            : kTensorCores    ? 1
                                                              : 2;

    const Job& job;
    Pair* pairs;
    int32_t* drawn;  // the negatives
    // For each pair:
    float* positive_distances;
    float* weights;
    float* user_norms;  // squared
    float* user_coefficients;
    float* positive_coefficients;
    float* losses;
    float* impostors;
    // For each negative:
    float* item_norms;        // squared
    float* coefficient_sums;  // of its coefficients, over all pairs; not on CUDA
    // Matrices:
    float* coefficients;  // of the negatives and pairs, see coefficient(); distances at first
    float* users;         // rows of the users
    float* columns;       // of what has a lane, users or negatives, see column()
    float* positives;     // rows of the positives
    float* items;         // rows of the negatives
    // In place of `columns` for tensor cores, columns by steps:
    Fragments items_by_dims, dims_by_items, dims_by_users;
    TileSlots slots;

    CML_FN TileArrays(const Job& job, float* workspace) : job(job) {
        const TileParts at{job.hyper.n_negatives, n_chunks(), Lanes::kInLane, kFragments};
        pairs = reinterpret_cast<Pair*>(workspace + at.pairs_at());
        drawn = reinterpret_cast<int32_t*>(workspace + at.drawn_at());
        positive_distances = workspace + at.of_pairs_at();
        weights = positive_distances + kTilePairs;
        user_norms = weights + kTilePairs;
        user_coefficients = user_norms + kTilePairs;
        positive_coefficients = user_coefficients + kTilePairs;
        losses = positive_coefficients + kTilePairs;
        impostors = losses + kTilePairs;
        item_norms = workspace + at.of_negatives_at();
        coefficient_sums = item_norms + at.negatives();
        coefficients = workspace + at.coefficients_at();
        users = workspace + at.users_at();
        columns = workspace + at.columns_at();
        positives = workspace + at.positives_at();
        items = workspace + at.items_at();
        if constexpr (kFragments) {
            const int64_t of_items = n_chunks() * at.blocks() * kFragmentBlock;
            uint16_t* const p = reinterpret_cast<uint16_t*>(columns);
            items_by_dims = {p, n_chunks()};
            dims_by_items = {p + of_items, at.blocks()};
            dims_by_users = {p + 2 * of_items, kTilePairs / kFragmentSide};
        }
        slots = {reinterpret_cast<int32_t*>(workspace + at.slot_rows_at()),
                 workspace + at.gradients_at(), at.stride()};
    }

    CML_FN int64_t n_chunks() const {
        return kRowChunks > 0 ? kRowChunks : (job.hyper.n_dims + kLanes - 1) / kLanes;
    }
    // What is copied of a row: what the products take.
    CML_FN Lanes operand(const Lanes& x) const {
        if (rounds()) return to_bfloat16(x);
        return x;
    }
    CML_FN bool rounds() const {
        return kFragments || (!Lanes::kHasTensorCores && job.hyper.bfloat16);
    }

    CML_FN int64_t stride() const { return tile_stride(n_chunks()); }

    // Element (row, column) of the coefficients, and of the vectors as columns.
    CML_FN float* coefficient(int64_t k, int64_t i) const {
        if constexpr (kPairInLane) return coefficients + k * kPairColumns + i;
        return coefficients + k / kLanes * kColumnBlock + i * kLanes + k % kLanes;
    }
    CML_FN float* column(int64_t number) const {
        if constexpr (kPairInLane) return columns + number;
        return columns + number / kLanes * (n_chunks() * kLanes * kLanes) + number % kLanes;
    }
};

}  // namespace CML_TARGET
}  // namespace cml
