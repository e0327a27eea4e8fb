// Asynchronous updates: every pair changes its rows at once. Workers share the tables without locks
// (Hogwild: Recht et al., NIPS 2011), so only a single one gives the same bits each time.
#pragma once

#include "update.h"
#include "walk.h"

namespace cml {
inline namespace CML_TARGET {

template <class Lanes, class Memory, int kChunks>
class AsyncUpdates {
 public:
    CML_FN AsyncUpdates(const Job& job, Memory memory)
        : job_(job), memory_(memory), chunks_{job.hyper.n_dims} {}

    CML_FN void coming(const Pair& pair) const {
        chunks_.fetch(accumulators_of(job_.users, pair.user));
        chunks_.fetch(accumulators_of(job_.items, pair.positive));
    }

    CML_FN void chosen(int32_t negative) const {
        chunks_.fetch(accumulators_of(job_.items, negative));
    }

    CML_FN bool take(int64_t, const Pair& pair, int32_t negative, const Contribution& c) const {
        if (negative < 0) return true;
        if (!(c.gradient_bound <= kLargestGradient)) return false;
        const float factor = 2.0f * c.weight;
        float* const rows[3] = {row_of(job_.users, pair.user), row_of(job_.items, pair.positive),
                                row_of(job_.items, negative)};
        float* const accumulators[3] = {accumulators_of(job_.users, pair.user),
                                        accumulators_of(job_.items, pair.positive),
                                        accumulators_of(job_.items, negative)};
        Lanes before[chunks_.kRoom][3];
        chunks_.each([&](int c, auto part) CML_INLINE_LAMBDA {
            CML_UNROLL
            for (int t = 0; t < 3; ++t) before[c][t] = memory_.load(rows[t] + c * kLanes, part);
        });
        const Lanes scale = Lanes::splat(factor);
        bool finite = true;
        CML_UNROLL
        for (int t = 0; t < 3; ++t) {
            finite &= update_row<Lanes, kChunks>(
                job_.hyper, memory_, rows[t], accumulators[t],
                [&](int c, auto) CML_INLINE_LAMBDA { return before[c][t]; },
                [&](int c, auto) CML_INLINE_LAMBDA {
                    return scale * (before[c][plus_row(t)] - before[c][minus_row(t)]);
                });
        }
        return finite;
    }

 private:
    const Job& job_;
    Memory memory_;
    Chunks<Lanes, kChunks> chunks_;
};

}  // namespace CML_TARGET
}  // namespace cml
