// Folding in: vectors for users who were not there during training. The items stay as they are.
//
// Each user is trained alone, on a job of their own pairs, by the steps of asynchronous training
// without the updates of items. So a user's vector depends neither on who else is folded in nor on
// which worker does it.
#pragma once

#include "sync.h"

namespace cml {
inline namespace CML_TARGET {

// The job of one user's pairs; `indptr` has room for its two entries.
CML_FN Job job_of_user(const Job& job, int64_t user, int64_t* indptr) {
    const int64_t begin = job.likes.indptr[user];
    indptr[0] = 0;
    indptr[1] = job.likes.indptr[user + 1] - begin;
    Job alone = job;
    alone.users = {row_of(job.users, user), accumulators_of(job.users, user), 1, job.users.stride,
                   job.users.accumulator_stride};
    alone.likes = {indptr, job.likes.indices + begin,
                   job.likes.weights ? job.likes.weights + begin : nullptr, indptr[1]};
    alone.visits = visit_sizes(indptr[1], 0);
    return alone;
}

// Multiply the vector of a job's only user by `retention`, as training does when an epoch begins.
CML_FN void draw_back(const Job& alone, float retention) {
    float* const user = row_of(alone.users, 0);
    for (int i = 0; i < alone.hyper.n_dims; ++i) user[i] *= retention;
}

// Every pair changes the row of its user at once, and no other row.
template <class Lanes, class Memory, int kChunks>
class FoldInUpdates {
 public:
    CML_FN FoldInUpdates(const Job& job, Memory memory) : job_(job), memory_(memory) {}

    CML_FN void prefetch(const Pair&) const {}
    CML_FN void on_negative(int32_t) const {}

    CML_FN bool apply(int64_t, const Pair& pair, int32_t negative, const PairLoss& loss) const {
        if (negative < 0) return true;
        if (!(loss.gradient_bound <= kLargestSquaredGradient)) return false;
        float* const user = row_of(job_.users, pair.user);
        return update_row<Lanes, kChunks>(
            job_.hyper, memory_, user, accumulators_of(job_.users, pair.user),
            [&](int i, auto part)
                CML_INLINE_LAMBDA { return memory_.load(user + i * kLanes, part); },
            TripletGradient<Lanes, Memory>(
                job_, memory_, {pair.user, pair.positive, negative, 2.0f * loss.weight}, 0));
    }

 private:
    const Job& job_;
    Memory memory_;
};

}  // namespace CML_TARGET
}  // namespace cml
