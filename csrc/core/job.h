// The data of one training job: plain structures, the same for every device.
#pragma once

#include <cstdint>

namespace cml {

constexpr int kLanes = 32;  // virtual lanes: element d of a vector is in lane d mod 32
constexpr int kMaxDims = 2048;
constexpr int kMaxFixedChunks = 8;  // rows of up to 8 x 32 elements have kernels of their own
constexpr int kMaxNegatives = 1024;
constexpr int kTilePairs = 128;    // the largest number of pairs that share negatives
constexpr int kRowAlignment = 16;  // floats (64 bytes): rows start on a cache line
constexpr int64_t kMaxEpochs = int64_t{1} << 48;

// Vectors and their AdaGrad accumulators, row-major. Rows are `stride` floats apart; the floats
// between `n_dims` and `stride` are zero and stay zero. There is one accumulator for each element
// (`accumulator_stride` equals `stride`) or one for each row (`accumulator_stride` is 1).
struct Table {
    float* values;
    float* accumulators;
    int64_t n_rows;
    int64_t stride;
    int64_t accumulator_stride;
};

// Liked pairs in CSR form; the columns of each row are sorted and distinct.
struct Likes {
    const int64_t* indptr;
    const int32_t* indices;
    const float* weights;  // null: every pair weighs 1
    int64_t n_pairs;
};

// A loss, by its position in losses/registry.h.
enum class Loss : int32_t {};

// The hyper-parameters that not every loss reads, finite and above 0. A field has the name of its
// keyword argument in Python.
#define CML_LOSS_PARAMETERS(PARAMETER) \
    PARAMETER(margin)                  \
    PARAMETER(temperature)             \
    PARAMETER(importance_weight)       \
    PARAMETER(negative_weight)

struct Hyperparameters {
    Loss loss;
    int32_t n_dims;
    int32_t n_negatives;
    int32_t tile_size;  // pairs that share their negatives, where the loss has it so
#define CML_FIELD(name) float name;
    CML_LOSS_PARAMETERS(CML_FIELD)
#undef CML_FIELD
    float learning_rate;
    float epsilon;
    float max_norm;
    bool rowwise;   // whether AdaGrad keeps one accumulator for each row
    bool bfloat16;  // whether the operands of a tile's products are rounded, see bfloat16.h
    uint64_t seed;
};

// How the gradients of a mini-batch are rounded before they are added up: to multiples of `unit`, a
// power of two, as 64-bit integers. Integer sums do not depend on the order of addition.
//
// No sum may overflow. A pair adds to a row at most once, so a batch of B pairs adds at most B
// integers (tiles: see summands() in granularity.h). If each is below 2^bits in absolute value and
// B * 2^bits <= 2^kSumBits, no sum overflows.
struct FixedPoint {
    float scale;             // 1 / unit
    float unit;              // a power of two
    float largest_gradient;  // 2^bits * unit: a pair with a larger gradient is refused
};

constexpr int kMaxBatchBits = 24;  // batches have at most 2^24 pairs
constexpr int kSumBits = 62;
constexpr int kMaxSummandBits = 50;  // what the CPU can round by adding doubles, see cpu/lanes.h

// The largest `bits` for so many summands.
constexpr int summand_bits(int64_t n_summands) {
    int bits = kSumBits;
    while (bits > kSumBits - kMaxBatchBits && (int64_t{1} << (kSumBits - bits)) < n_summands) {
        --bits;
    }
    return bits < kMaxSummandBits ? bits : kMaxSummandBits;
}

// 2^64 U / J for U < J, rounded up. The high half of its product with an item is
// floor(item U / J): the rounding error is too small to matter, because multiples of 1 / J are more
// than 2^-31 apart.
constexpr uint64_t draws_per_item(uint64_t n_negatives, uint64_t n_items) {
    const uint64_t quotient = UINT64_MAX / n_items, rest = UINT64_MAX % n_items;
    return n_negatives * quotient + n_negatives * (rest + 1) / n_items + 1;
}

// The sizes of a random bijection of [0, n), see visit_order.h.
struct ShuffleSizes {
    uint64_t n;
    uint64_t high_size;
    int32_t low_bits;
};

constexpr ShuffleSizes shuffle_sizes(uint64_t n) {
    int32_t bits = 0;
    while ((uint64_t{1} << bits) < n) ++bits;
    const int32_t low_bits = bits - bits / 2;
    return {n, (n + (uint64_t{1} << low_bits) - 1) >> low_bits, low_bits};
}

// The sizes of the order in which an epoch visits its pairs, see visit_order.h.
struct VisitSizes {
    int32_t part_bits;   // a part has 2^part_bits successive pairs,
    ShuffleSizes last;   // the last one fewer
    ShuffleSizes part;   // of one of the other parts
    ShuffleSizes parts;  // of the order of these
};

constexpr int64_t kMaxPairsPerPart = int64_t{1} << 40;

// `pairs_per_part` is a power of two, or 0: all pairs are one part.
constexpr VisitSizes visit_sizes(int64_t n_pairs, int64_t pairs_per_part) {
    int32_t bits = 0;
    while (pairs_per_part == 0 ? bits < 62 : (int64_t{1} << bits) < pairs_per_part) ++bits;
    const auto n = static_cast<uint64_t>(n_pairs), size = uint64_t{1} << bits;
    return {bits, shuffle_sizes(n % size), shuffle_sizes(size), shuffle_sizes(n / size)};
}

struct Job {
    Table users;
    Table items;
    Likes likes;
    VisitSizes visits;
    Hyperparameters hyper;
    const float* rank_weights;  // n_negatives + 1 entries, see losses/warp.h
    uint64_t draws_per_item;    // U / J, see above
    int64_t batch_size;         // samples of a synchronous mini-batch; 0: asynchronous updates
    FixedPoint fixed;           // for mini-batches
};

// Gradients that were computed outside the kernels, for some rows of a table, each row once.
struct RowGradients {
    Table table;
    const int64_t* rows;
    const float* values;  // one gradient after another, each as wide as a row of the table
    int64_t n;
};

// The end of the mini-batch that begins with sample `first`. A batch also ends with its epoch.
constexpr int64_t batch_end(int64_t first, int64_t end, int64_t batch_size, int64_t n_pairs) {
    const int64_t epoch_end = (first / n_pairs + 1) * n_pairs;
    const int64_t last = first + batch_size < epoch_end ? first + batch_size : epoch_end;
    return last < end ? last : end;
}

// The update that a pair of a mini-batch makes with a pairwise loss; negative -1: none.
struct Triplet {
    int32_t user, positive, negative;
    float factor;  // twice the weight of the loss
};

// Some successive samples, which are of one epoch; none if `end` is not above `begin`.
struct SampleRange {
    int64_t begin, end;
};

// What a launch reports. A sample is one visit of a pair. Samples are counted over all epochs:
// sample t belongs to epoch t / n_pairs, so a single number says how far training has come.
struct Counters {
    int64_t pairs = 0;      // samples, skipped ones included
    int64_t active = 0;     // pairs with at least one impostor: those that changed something
    int64_t impostors = 0;  // negatives that are too near, over all pairs
    int64_t skipped = 0;    // pairs whose user likes every item, so that no negative exists
    double loss = 0;        // sum over the pairs
    int64_t first_non_finite = INT64_MAX;  // the first sample that was refused (see
                                           // kLargestSquaredGradient); INT64_MAX: none
};

}  // namespace cml
