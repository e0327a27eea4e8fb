// Draws the negatives that all pairs of a tile share, uniform over all items, and finds the items
// among them that a user likes: these are not negatives of that user's pairs.
//
// The draw is stratified: the item numbers are divided into U equal parts, and one item is drawn
// from each. Every item is drawn as often as by independent draws, but sums over the draws have a
// smaller variance. The draws are in ascending order, so that an item can only be in a few places.
#pragma once

#include "draw.h"

namespace cml {
inline namespace CML_TARGET {

constexpr int kSharedDrawn = 4;  // negatives that one call of the generator yields
constexpr int kPlaces = 2;       // where an item can be, if there are more items than draws

// Calls of the generator for the negatives of a tile. After the last negative follow at least
// kPlaces - 1 numbers that are not items.
CML_FN int shared_calls(const Job& job) {
    return groups_of(job.hyper.n_negatives + kPlaces - 1, kSharedDrawn);
}

// Draw the negatives of one call, of the tile that begins at this position of an epoch. Negative s
// is floor((s + x) J / U), with x uniform in [0, 1) with 64 binary digits.
template <class Lanes>
CML_FN void draw_shared(const Job& job, int64_t epoch, int64_t position, int call,
                        int32_t* negatives) {
    const int64_t n_items = job.items.n_rows;
    const int64_t n = job.hyper.n_negatives;
    const Words w = random_words(job.hyper.seed, Purpose::kSharedNegatives, epoch, position, call);
    Lanes::each(kSharedDrawn, [=](int k) CML_INLINE_LAMBDA {
        // Not w.word[k]: on CUDA that would put the words into local memory.
        const uint64_t word = k == 0   ? w.word[0]
                              : k == 1 ? w.word[1]
                              : k == 2 ? w.word[2]
                                       : w.word[3];
        const int64_t s = call * kSharedDrawn + k;
        const Product x = multiply(word, static_cast<uint64_t>(n_items));
        negatives[s] = static_cast<int32_t>((s * n_items + static_cast<int64_t>(x.high)) / n);
    });
}

// Call found(s) for every negative s that the user likes: go through the likes or through the
// negatives, whichever takes fewer steps, and look each of them up in the other list.
template <class Lanes, class F>
CML_FN void find_liked(const Job& job, const int32_t* liked, int64_t n_liked,
                       const int32_t* negatives, const typename Lanes::Sieve& sieve, F found) {
    const int64_t n = job.hyper.n_negatives;
    constexpr int64_t kSteps = 8;  // of a binary search in the likes, roughly
    if (n < job.items.n_rows && n_liked <= kSteps * n) {
        sieve.each_candidate(liked, n_liked, [=, &job](int32_t item) CML_INLINE_LAMBDA {
            // If this item was drawn, it is in place floor(item U / J) or the next one.
            const uint64_t place = multiply(static_cast<uint64_t>(item), job.draws_per_item).high;
            const int64_t first = static_cast<int64_t>(place);
            CML_UNROLL
            for (int64_t s = first; s < first + kPlaces; ++s) {
                if (negatives[s] == item) found(s);
            }
        });
    } else {
        Lanes::each(static_cast<int>(n), [=](int s) CML_INLINE_LAMBDA {
            if (is_in(negatives[s], liked, n_liked)) found(s);
        });
    }
}

}  // namespace CML_TARGET
}  // namespace cml
