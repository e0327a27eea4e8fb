// The columns of a row whose scores can be among the n smallest, up to a slack for rounding: all
// with score <= (n-th smallest) + slack. Infinite scores and NaN are never among them.
//
// A `Team` of threads works on one row. Scores are compared, and nothing is computed from them, so
// that reading the row takes the time: 4 bytes a score. The n-th smallest score of any part of a
// row bounds that of the row from above. So the team
//
//   1. reads a sample, one line of 128 bytes in `stride`, for such a bound;
//   2. reads the row, and holds what is not above the bound in shared memory;
//   3. finds the n-th smallest of what it holds, and writes the columns.
//
// That is 1 + 1 / stride reads, where the stride is 16 for n <= 64. A row that fits in shared
// memory is read once. If more is held than there is room for (n is above 1024, thousands of scores
// are equal, or the sample was misleading), the team finds the n-th smallest of the whole row by
// three digits of 11 bits, and holds what is not above that. If even that is too much, it reads the
// row once more to write the columns. So there are at most 6 + 1 / stride reads.
//
// What a team must have:
//
//   kThreads                  their number, known at compile time
//   thread()                  the number of the calling thread
//   sync()                    after it, every thread sees what the others wrote
//   load(p)                   the four scores at p, a multiple of 16 bytes
//   increase(p)               ++*p, atomically
//   any(x)                    whether x holds for one of the neighbours of this thread
//   append(p, x)              ++*p if x holds, atomically; returns the old value
//   sum_before(x)             the sums of x over the threads before this one, and over all threads;
//                             there is a sync() between two calls
//   reserve(p, n)             *p += n, atomically for all teams; returns the old value
//
// All threads of a team call `sum_before` together, and all neighbours `any` and `append`. One
// thread calls `reserve`.
#pragma once

#include <cfloat>
#include <cmath>

#include "platform.h"

namespace cml {

constexpr int64_t kScoresAtOnce = 4;  // that one load brings; rows have a multiple of them

// What to select, and where to write it. All pointers are memory of the device.
struct Selection {
    float* scores;  // (n_rows, n_columns), row-major; those of excluded columns become infinite
    int64_t n_rows, n_columns;
    // Columns that each row excludes, as a CSR matrix: those of row i are indices[indptr[i]] to
    // indices[indptr[i + 1] - 1].
    const int64_t* indptr;
    const int32_t* indices;
    int64_t n;           // at least 1
    const float* slack;  // of each row
    // Selected columns. Those of row i are columns[starts[i]] to columns[starts[i] + counts[i] - 1]
    // in any order; the rows follow each other in any order. A row for which there is no room is
    // not written, but counted: all have been written if *total <= room.
    int32_t* columns;
    int64_t room;
    int64_t *starts, *counts, *total;  // *total is 0 at first
};

constexpr int kSelectBins = 1 << 11;   // of a digit
constexpr int kMostHeld = 4096;        // scores in shared memory
constexpr int64_t kMostSampled = 16;   // the largest stride
constexpr int64_t kLetThrough = 1024;  // scores that a sample's bound should let through at most

// What the threads of a team share.
struct SelectMemory {
    int64_t start;
    float scores[kMostHeld];
    int32_t columns[kMostHeld];
    uint32_t bins[kSelectBins];  // all zero, except while digits are counted
    uint32_t n_found;
    uint32_t digit, rank;
};

inline namespace CML_TARGET {

struct FourScores {
    float x[kScoresAtOnce];
};

struct Sums {
    uint32_t before, total;
};

// Bits in the order of the scores, with -0 before 0 and NaN of both signs at the end.
CML_FN uint32_t key_of(float score) {
    if (score != score) return ~uint32_t{0};
    const uint32_t bits = bits_of(score);
    return bits >> 31 ? ~bits : bits | uint32_t{1} << 31;
}

CML_FN float score_of(uint32_t key) {
    return float_of(key >> 31 ? key & ~(uint32_t{1} << 31) : ~key);
}

template <class Team>
class RowSelection {
 public:
    CML_FN RowSelection(const Team& team, const Selection& all, SelectMemory& memory, int64_t row)
        : team_(team),
          all_(all),
          memory_(memory),
          row_(row),
          scores_(all.scores + row * all.n_columns) {}

    CML_FN void run() const {
        for (int i = team_.thread(); i < kSelectBins; i += Team::kThreads) memory_.bins[i] = 0;
        exclude();
        team_.sync();
        const bool fits = all_.n_columns <= kMostHeld;
        bool exact = !fits && all_.n > kLetThrough;
        float limit;
        uint32_t n_held;
        for (;;) {
            limit = exact ? limit_of(nth_of_row()) : fits ? FLT_MAX : limit_of(nth_of_sample());
            n_held = hold(limit);
            if (exact || n_held <= kMostHeld) break;
            exact = true;
        }
        if (n_held > kMostHeld) {
            write_from_row(limit, n_held);
        } else {
            if (!exact && n_held >= all_.n) limit = limit_of(nth_of_held(n_held));
            write_held(limit, n_held);
        }
    }

 private:
    CML_FN void exclude() const {
        const int64_t last = all_.indptr[row_ + 1];
        for (int64_t i = all_.indptr[row_] + team_.thread(); i < last; i += Team::kThreads) {
            scores_[all_.indices[i]] = INFINITY;
        }
    }

    // The largest score to select, if this is the n-th smallest. It is finite: a row may have fewer
    // than n finite scores.
    CML_FN float limit_of(float nth) const {
        const float limit = nth + all_.slack[row_];
        return limit < FLT_MAX ? limit : FLT_MAX;
    }

    // Call use(index, scores) for `count` groups of four scores, those of these indices. The loads
    // of a thread do not wait for each other. All threads of the team make as many calls; those
    // beyond the end get infinite scores.
    template <class Index, class Use>
    CML_FN void each_four(int64_t count, Index index, Use use) const {
        constexpr int kInFlight = 4;
        const int64_t n_fours = all_.n_columns / kScoresAtOnce;
        for (int64_t first = 0; first < count; first += kInFlight * Team::kThreads) {
            FourScores four[kInFlight];
            CML_UNROLL
            for (int i = 0; i < kInFlight; ++i) {
                const int64_t at = first + i * Team::kThreads + team_.thread();
                four[i] = {{INFINITY, INFINITY, INFINITY, INFINITY}};
                if (at < count && index(at) < n_fours) {
                    four[i] = team_.load(scores_ + index(at) * kScoresAtOnce);
                }
            }
            CML_UNROLL
            for (int i = 0; i < kInFlight; ++i) {
                use(index(first + i * Team::kThreads + team_.thread()), four[i]);
            }
        }
    }

    template <class Use>
    CML_FN void each_four(Use use) const {
        each_four(all_.n_columns / kScoresAtOnce, [](int64_t at) { return at; }, use);
    }

    // --- the n-th smallest ---------------------------------------------------------------------

    // Of the scores that each(f) passes to f, one for each call; all threads together. There are at
    // least n. One digit after another is found by counting the scores that have each of its
    // values. Counters of 32 bits suffice for 2^31 scores.
    template <class Each>
    CML_FN float nth_smallest(Each each) const {
        uint32_t key = 0, known = 0;  // the key of the answer, and which bits of it are known
        uint32_t rank = static_cast<uint32_t>(all_.n);
        constexpr uint32_t kMask = kSelectBins - 1;
        // Bits 21 to 31, 10 to 20 and 0 to 10.
        for (int shift = 21; shift >= 0; shift = shift > 10 ? 10 : shift - 10) {
            each([&](float score) {
                const uint32_t other = key_of(score);
                if (((other ^ key) & known) != 0) return;
                team_.increase(&memory_.bins[other >> shift & kMask]);
            });
            team_.sync();
            find_digit(rank);
            team_.sync();
            key |= memory_.digit << shift;
            known |= kMask << shift;
            rank = memory_.rank;
        }
        return score_of(key);
    }

    // Find the bin of the score of this rank, and its rank in that bin. Clears the bins.
    CML_FN void find_digit(uint32_t rank) const {
        static_assert(kSelectBins % Team::kThreads == 0, "every thread has as many bins");
        constexpr int kOwn = kSelectBins / Team::kThreads;
        uint32_t* const bins = memory_.bins + team_.thread() * kOwn;
        uint32_t counts[kOwn], own = 0;
        CML_UNROLL
        for (int i = 0; i < kOwn; ++i) {
            counts[i] = bins[i];
            own += counts[i];
            bins[i] = 0;
        }
        uint32_t before = team_.sum_before(own).before;
        CML_UNROLL
        for (int i = 0; i < kOwn; ++i) {
            if (before < rank && rank <= before + counts[i]) {
                memory_.digit = static_cast<uint32_t>(team_.thread() * kOwn + i);
                memory_.rank = rank - before;
            }
            before += counts[i];
        }
    }

    // At least as large as that of the row: of the smallest scores of 2048 groups, which are four
    // for every thread, in a sample of the row.
    CML_FN float nth_of_sample() const {
        constexpr int64_t kLine = 32 / kScoresAtOnce;
        const int64_t wanted = kLetThrough / all_.n;
        const int64_t stride = wanted < kMostSampled ? wanted : kMostSampled;
        const int64_t n_fours = all_.n_columns / kScoresAtOnce;
        const int64_t n_lines = (n_fours + kLine * stride - 1) / (kLine * stride);
        float smallest[kScoresAtOnce] = {INFINITY, INFINITY, INFINITY, INFINITY};
        each_four(
            n_lines * kLine, [=](int64_t at) { return at / kLine * kLine * stride + at % kLine; },
            [&](int64_t, const FourScores& four) {
                CML_UNROLL
                for (int i = 0; i < kScoresAtOnce; ++i) {
                    smallest[i] = four.x[i] < smallest[i] ? four.x[i] : smallest[i];
                }
            });
        return nth_smallest([&](auto use) {
            CML_UNROLL
            for (int i = 0; i < kScoresAtOnce; ++i) use(smallest[i]);
        });
    }

    CML_FN float nth_of_row() const {
        return nth_smallest([&](auto use) {
            each_four([&](int64_t, const FourScores& four) {
                CML_UNROLL
                for (int i = 0; i < kScoresAtOnce; ++i) use(four.x[i]);
            });
        });
    }

    CML_FN float nth_of_held(uint32_t n_held) const {
        return nth_smallest([&](auto use) {
            for (uint32_t i = team_.thread(); i < n_held; i += Team::kThreads) {
                use(memory_.scores[i]);
            }
        });
    }

    // --- what is not above a limit -------------------------------------------------------------

    // Call use(i, score, column) for the i-th score of the row that is not above the limit. Returns
    // how many there are. There is a sync() between two calls.
    template <class Use>
    CML_FN uint32_t each_below(float limit, Use use) const {
        if (team_.thread() == 0) memory_.n_found = 0;
        team_.sync();
        each_four([&](int64_t at, const FourScores& four) {
            float smallest = INFINITY;
            CML_UNROLL
            for (int i = 0; i < kScoresAtOnce; ++i) {
                smallest = four.x[i] < smallest ? four.x[i] : smallest;
            }
            if (!team_.any(smallest <= limit)) return;
            CML_UNROLL
            for (int i = 0; i < kScoresAtOnce; ++i) {
                const bool below = four.x[i] <= limit;
                const uint32_t number = team_.append(&memory_.n_found, below);
                if (below) use(number, four.x[i], static_cast<int32_t>(at * kScoresAtOnce + i));
            }
        });
        team_.sync();
        return memory_.n_found;
    }

    // Keep those in shared memory, as far as there is room.
    CML_FN uint32_t hold(float limit) const {
        return each_below(limit, [&](uint32_t number, float score, int32_t column) {
            if (number >= kMostHeld) return;
            memory_.scores[number] = score;
            memory_.columns[number] = column;
        });
    }

    // --- writing -------------------------------------------------------------------------------

    // Reserve room for the columns of this row. Returns where they begin, or -1 if there is none.
    CML_FN int64_t reserve(int64_t count) const {
        if (team_.thread() == 0) {
            const int64_t start = team_.reserve(all_.total, count);
            all_.starts[row_] = start;
            all_.counts[row_] = count;
            memory_.start = start + count <= all_.room ? start : -1;
        }
        team_.sync();
        return memory_.start;
    }

    CML_FN void write_held(float limit, uint32_t n_held) const {
        uint32_t own = 0;
        for (uint32_t i = team_.thread(); i < n_held; i += Team::kThreads) {
            own += memory_.scores[i] <= limit;
        }
        const Sums sums = team_.sum_before(own);
        const int64_t start = reserve(sums.total);
        if (start < 0) return;
        int32_t* next = all_.columns + start + sums.before;
        for (uint32_t i = team_.thread(); i < n_held; i += Team::kThreads) {
            if (memory_.scores[i] <= limit) *next++ = memory_.columns[i];
        }
    }

    CML_FN void write_from_row(float limit, uint32_t count) const {
        const int64_t start = reserve(count);
        if (start < 0) return;
        each_below(limit, [&](uint32_t number, float, int32_t column) {
            all_.columns[start + number] = column;
        });
    }

    const Team& team_;
    const Selection& all_;
    SelectMemory& memory_;
    int64_t row_;
    float* scores_;
};

}  // namespace CML_TARGET
}  // namespace cml
