// The data of one training job: plain structures, the same for every target.
#pragma once

#include <cstdint>

namespace cml {

constexpr int kLanes = 32;  // virtual lanes: element d of a vector is in lane d mod 32
constexpr int kMaxDims = 2048;
constexpr int kMaxFixedChunks = 8;  // rows of up to 8 x 32 elements have kernels of their own
constexpr int kMaxNegatives = 1024;
constexpr int kTilePairs = 128;    // pairs that share negatives, at most
constexpr int kRowAlignment = 16;  // floats (64 bytes): rows start on a cache line
constexpr int64_t kMaxEpochs = int64_t{1} << 48;

// Vectors and their AdaGrad accumulators, row-major. Rows are `stride` floats apart; the floats
// between `n_dims` and `stride` are zero and stay zero. Accumulators are one for each element
// (`accumulator_stride` is `stride`) or one for each row (it is 1).
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

enum class Loss : int32_t { kWarp, kSoftmax, kContrastive };

struct Hyperparameters {
    Loss loss;
    int32_t n_dims;
    int32_t n_negatives;
    int32_t tile_size;          // pairs that share their negatives, at most kTilePairs (not kWarp)
    float margin;               // kWarp, kContrastive
    float inverse_temperature;  // kSoftmax
    float correction;           // kSoftmax: c, see softmax_loss.h
    float negative_weight;      // kContrastive: W / U, see contrastive_loss.h
    float learning_rate;
    float epsilon;
    float max_norm;
    bool per_row;  // whether AdaGrad keeps one sum for each row
    uint64_t seed;
};

// How the gradients of a mini-batch are rounded before they are added: to multiples of `unit`, a
// power of two, as 64-bit integers. So a sum does not depend on the order of addition.
//
// No sum may overflow. A pair adds to a row once at most, so a batch of B pairs adds B integers
// (tiles: see summands). Where each is below 2^bits in absolute value, and B * 2^bits <= 2^62, all
// is well. 50 bits are enough in any case, and the CPU can round so much by an addition of doubles.
struct FixedPoint {
    float scale;             // 1 / unit
    float unit;              // a power of two
    float largest_gradient;  // 2^bits * unit: a pair with a larger one is refused
};

// Visits that are made together; those of an epoch or a mini-batch that are left over are fewer.
constexpr int64_t visits_at_once(const Hyperparameters& hyper) {
    return hyper.loss == Loss::kWarp ? kLanes : hyper.tile_size;
}

// How many gradients a mini-batch adds up in a row, at most. Where pairs share negatives, a tile
// counts as one: its part of a sum is below the bound of a single gradient, for that bound is made
// for a whole tile.
constexpr int64_t summands(const Hyperparameters& hyper, int64_t batch_size) {
    const int64_t together = hyper.loss == Loss::kWarp ? 1 : hyper.tile_size;
    return (batch_size + together - 1) / together;
}

constexpr int kMaxBatchBits = 24;

constexpr int summand_bits(int64_t batch_size) {
    int bits = 62;
    while (bits > 62 - kMaxBatchBits && (int64_t{1} << (62 - bits)) < batch_size) --bits;
    return bits < 50 ? bits : 50;
}

// 2^64 U / J for U < J, rounded up: the high half of its product with an item is floor(item U / J),
// for it is too large by less than the 2^-31 that part multiples of 1 / J.
constexpr uint64_t draws_per_item(uint64_t n_negatives, uint64_t n_items) {
    const uint64_t quotient = UINT64_MAX / n_items, rest = UINT64_MAX % n_items;
    return n_negatives * quotient + n_negatives * (rest + 1) / n_items + 1;
}

struct Job {
    Table users;
    Table items;
    Likes likes;
    Hyperparameters hyper;
    const float* rank_weights;  // n_negatives + 1 entries, see warp_loss.h
    uint64_t draws_per_item;    // U / J, see below
    int64_t batch_size;         // visits of a synchronous mini-batch; 0: asynchronous updates
    FixedPoint fixed;           // for mini-batches
};

// Launches begin and end at multiples of this, counted from the start of an epoch.
constexpr int64_t unit_of(const Job& job) {
    if (job.batch_size > 0) return job.batch_size;
    return job.hyper.loss == Loss::kWarp ? 1 : job.hyper.tile_size;
}

// Gradients that come from elsewhere, for some rows of a table, each row once.
struct RowGradients {
    Table table;
    const int64_t* rows;
    const float* values;  // one after another, in rows as wide as those of the table
    int64_t n;
};

// Where the mini-batch that begins with the visit `first` ends: also with its epoch.
constexpr int64_t batch_end(int64_t first, int64_t end, int64_t batch_size, int64_t n_pairs) {
    const int64_t epoch_end = (first / n_pairs + 1) * n_pairs;
    const int64_t last = first + batch_size < epoch_end ? first + batch_size : epoch_end;
    return last < end ? last : end;
}

// What a pair of a mini-batch asks for; negative -1: nothing.
struct Record {
    int32_t user, positive, negative;
    float factor;  // twice the weight of the loss
};

// What a launch reports. A visit is one pair at one moment of training; visit t belongs to epoch
// t / n_pairs, so a single number says how far training has come.
struct Counters {
    int64_t pairs = 0;      // visits, skipped ones included
    int64_t active = 0;     // pairs with at least one impostor: those that changed something
    int64_t impostors = 0;  // negatives inside the margin, over all pairs
    int64_t skipped = 0;    // pairs whose user likes every item, so that no negative exists
    double loss = 0;        // sum over the pairs
    int64_t first_non_finite = INT64_MAX;  // the first visit that was refused, see apply()
};

}  // namespace cml
