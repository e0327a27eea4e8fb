// Binary searches. The first two do n searches side by side: their loads do not wait for each
// other, and no branch depends on the data.
#pragma once

#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

// The rows of a CSR matrix that hold these stored entries: of n_rows rows (one at least) the last
// with indptr[row] <= entry.
template <int n>
CML_FN void entries_to_rows(const int64_t (&entries)[n], const int64_t* indptr, int64_t n_rows,
                            int64_t (&rows)[n]) {
    CML_UNROLL
    for (int i = 0; i < n; ++i) rows[i] = 0;
    for (int64_t left = n_rows; left > 1;) {
        const int64_t half = left / 2;
        CML_UNROLL
        for (int i = 0; i < n; ++i) {
            rows[i] = indptr[rows[i] + half] <= entries[i] ? rows[i] + half : rows[i];
        }
        left -= half;
    }
}

// Turn ranks (from 0) among the items that are not in `liked` into those items. `liked` is sorted
// and distinct. An item is its rank plus the number of liked items below it. liked[p] is below the
// answer if and only if it is below rank + p + 1, so a search only keeps the answer so far.
template <int n>
CML_FN void ranks_to_items(int32_t* ranks, const int32_t* liked, int64_t n_liked) {
    // liked[p] is at address origin + 4 * answer, where answer = rank + p + 1.
    uintptr_t origins[n];
    int64_t answers[n];
    CML_UNROLL
    for (int i = 0; i < n; ++i) {
        answers[i] = ranks[i];
        origins[i] = reinterpret_cast<uintptr_t>(liked) -
                     static_cast<uintptr_t>(answers[i] + 1) * sizeof(int32_t);
    }
    for (int64_t left = n_liked; left > 0;) {
        const int64_t half = (left + 1) / 2;
        CML_UNROLL
        for (int i = 0; i < n; ++i) {
            const int64_t next = answers[i] + half;
            const int32_t item = *reinterpret_cast<const int32_t*>(
                origins[i] + static_cast<uintptr_t>(next) * sizeof(int32_t));
            answers[i] = item < static_cast<int32_t>(next) ? next : answers[i];
        }
        left -= half;
    }
    CML_UNROLL
    for (int i = 0; i < n; ++i) ranks[i] = static_cast<int32_t>(answers[i]);
}

// Whether an item is among the n items in `sorted`.
CML_FN bool is_in(int32_t item, const int32_t* sorted, int64_t n) {
    int64_t first = 0;  // the items before it are below `item`
    for (int64_t left = n; left > 0;) {
        const int64_t half = (left + 1) / 2;
        first += sorted[first + half - 1] < item ? half : 0;
        left -= half;
    }
    return first < n && sorted[first] == item;
}

}  // namespace CML_TARGET
}  // namespace cml
