// Synchronous mini-batches, the procedure of the paper (section 3.5): all gradients of a batch are
// taken at the parameters it began with and added up per row; then each touched row gets one
// AdaGrad step and one censoring.
//
// What the pairs of a batch ask for are records. Their gradients (RecordGradient) are rounded and
// added up, as integers (FixedPoint in job.h): it does not matter who adds what, and when. So the
// result is the same bits for any number of workers on any device. How the work is shared out is up
// to the device.
#pragma once

#include "update.h"
#include "walk.h"

namespace cml {
inline namespace CML_TARGET {

// Whether the gradients of a pair are so small that sums of them cannot overflow.
CML_FN bool is_fit(const Job& job, const Contribution& c) {
    return c.gradient_bound <= job.fixed.largest_gradient * job.fixed.largest_gradient;
}

// The gradient that a record gives its user (t = 0), its positive (1) or its negative (2).
template <class Lanes, class Memory>
class RecordGradient {
 public:
    CML_FN RecordGradient(const Job& job, Memory memory, const Record& record, int t)
        : memory_(memory), factor_(Lanes::splat(record.factor)) {
        const float* const rows[3] = {row_of(job.users, record.user),
                                      row_of(job.items, record.positive),
                                      row_of(job.items, record.negative)};
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
