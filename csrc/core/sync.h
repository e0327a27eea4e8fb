// Synchronous mini-batches, the procedure of the paper (section 3.5): the gradients of all pairs of
// a batch are computed from the parameters at its beginning and added up for each row. Then each
// touched row gets one AdaGrad step and is projected onto the norm ball once.
//
// Each pair yields a Triplet. The gradients of the triplets (TripletGradient) are rounded to
// integers (FixedPoint in job.h) before they are added up, so it does not matter who adds what and
// when: the result is the same to the bit for any number of workers on any device. How the work is
// divided is up to the device.
#pragma once

#include "pair_step.h"
#include "update.h"

namespace cml {
inline namespace CML_TARGET {

// Whether the gradients of a pair are so small that sums of them cannot overflow.
CML_FN bool is_summable(const Job& job, const PairLoss& loss) {
    return loss.gradient_bound <= job.fixed.largest_gradient * job.fixed.largest_gradient;
}

// The gradient of a triplet with respect to its user (t = 0), its positive (1) or its negative (2).
template <class Lanes, class Memory>
class TripletGradient {
 public:
    CML_FN TripletGradient(const Job& job, Memory memory, const Triplet& triplet, int t)
        : memory_(memory), factor_(Lanes::splat(triplet.factor)) {
        const float* const rows[kTripletRows] = {row_of(job.users, triplet.user),
                                                 row_of(job.items, triplet.positive),
                                                 row_of(job.items, triplet.negative)};
        plus_ = rows[plus_row(t)];
        minus_ = rows[minus_row(t)];
    }

    template <class Part>
    CML_FN Lanes operator()(int c, Part part) const {
        return factor_ *
               (memory_.load(plus_ + c * kLanes, part) - memory_.load(minus_ + c * kLanes, part));
    }

 private:
    Memory memory_;
    Lanes factor_;
    const float* plus_;
    const float* minus_;
};

}  // namespace CML_TARGET
}  // namespace cml
