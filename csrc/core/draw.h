// Draws the pairs, and the negatives of each: uniform over the items that the user has not liked,
// one draw each, without rejection. Random numbers depend on counters only, so that every device
// draws the same.
#pragma once

#include "lanes.h"
#include "search.h"
#include "visit_order.h"

namespace cml {
inline namespace CML_TARGET {

struct Pair {
    int64_t number;     // position in the CSR arrays, a counter of the random numbers
    int64_t row_begin;  // the user's likes: indices[row_begin .. row_begin + n_liked)
    int32_t n_liked;
    int32_t user;
    int32_t positive;
    float weight;
};

constexpr int kGroup = 4;  // negatives whose items are searched for side by side
constexpr int kDrawn = 8;  // negatives that one call of the generator yields

// Negatives are drawn and searched for in whole groups; those beyond n_negatives are ignored.
CML_FN int groups_of(int n_negatives, int size) {
    return (n_negatives + size - 1) / size;
}

// Items that the user of a pair has not liked.
CML_FN int32_t n_free(const Pair& pair, const Job& job) {
    return static_cast<int32_t>(job.items.n_rows) - pair.n_liked;
}

// Draw the pairs of the next kPairs samples, by default one for each lane, into a block that has
// room for so many; return how many of them count, because a block ends with its epoch.
template <class Lanes, int kPairs = kLanes>
CML_FN int draw_pairs(const Job& job, int64_t sample, int64_t end, int64_t epoch, Pair* block) {
    const Likes& likes = job.likes;
    const int64_t position = sample - epoch * likes.n_pairs;
    int64_t count = end - sample;
    if (count > likes.n_pairs - position) count = likes.n_pairs - position;
    if (count > kPairs) count = kPairs;
    const VisitOrder order(job.visits, job.hyper.seed, epoch);
    constexpr int n = Lanes::kPairsAtOnce;
    Lanes::sync();  // all lanes have read the previous block
    Lanes::each(kPairs / n, [&](int group) CML_INLINE_LAMBDA {
        int64_t numbers[n], users[n];
        CML_UNROLL
        for (int k = 0; k < n; ++k) {
            const int64_t i = group * n + k;  // beyond the last pair: that one again
            numbers[k] = order(position + (i < count ? i : count - 1));
            Lanes::prefetch_likes(likes.indices + numbers[k], 1);
        }
        entries_to_rows(numbers, likes.indptr, job.users.n_rows, users);
        CML_UNROLL
        for (int k = 0; k < n; ++k) {
            Pair& pair = block[group * n + k];
            pair.number = numbers[k];
            pair.row_begin = likes.indptr[users[k]];
            pair.n_liked = static_cast<int32_t>(likes.indptr[users[k] + 1] - pair.row_begin);
            pair.user = static_cast<int32_t>(users[k]);
            pair.positive = likes.indices[numbers[k]];
            pair.weight = likes.weights ? likes.weights[numbers[k]] : 1.0f;
            Lanes::prefetch_likes(likes.indices + pair.row_begin, pair.n_liked);
        }
    });
    Lanes::sync();
    return static_cast<int>(count);
}

// Draw the ranks of a pair's negatives among the items that its user has not liked, of which there
// must be at least one.
template <class Lanes>
CML_FN void draw_ranks(const Job& job, const Pair& pair, int64_t epoch, int32_t* ranks) {
    const int32_t n = n_free(pair, job);
    const uint64_t seed = job.hyper.seed;
    Lanes::each(groups_of(job.hyper.n_negatives, kDrawn), [=](int call) CML_INLINE_LAMBDA {
        const Words w = random_words(seed, Purpose::kNegatives, epoch, pair.number, call);
        CML_UNROLL
        for (int i = 0; i < kDrawn; i += 2) two_below(n, w.word[i / 2], ranks + call * kDrawn + i);
    });
}

// Turn these ranks into items, and call found(item) for each.
template <class Lanes, class F>
CML_FN void find_negatives(const Job& job, const Pair& pair, int32_t* ranks, F found) {
    const int32_t* liked = job.likes.indices + pair.row_begin;
    Lanes::sync();  // a lane draws kDrawn ranks, and kGroup of them are searched for by another
    Lanes::each(groups_of(job.hyper.n_negatives, kGroup), [=](int group) CML_INLINE_LAMBDA {
        int32_t* negatives = ranks + group * kGroup;
        ranks_to_items<kGroup>(negatives, liked, pair.n_liked);
        CML_UNROLL
        for (int g = 0; g < kGroup; ++g) found(negatives[g]);
    });
    Lanes::sync();
}

}  // namespace CML_TARGET
}  // namespace cml
