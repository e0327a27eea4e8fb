// Synchronous mini-batches, the procedure of the paper (section 3.5): all gradients of a batch are
// taken at the parameters it began with and added up per row; then each touched row gets one
// AdaGrad step and one censoring.
//
// The pairs of a batch put down what they ask for (SyncUpdates). When all have, the gradients of
// these records (RecordGradient) are rounded and added up, as integers (FixedPoint in job.h): it
// does not matter who adds what, and when. So the result is the same bits for any number of
// workers on any device. How the work is shared out is up to the device.
#pragma once

#include "update.h"
#include "walk.h"

namespace cml {
inline namespace CML_TARGET {

// Takes down the pairs of the batch whose first visit is `first`.
class SyncUpdates {
 public:
    CML_FN SyncUpdates(Record* records, float largest_gradient, int64_t first)
        : records_(records), largest_(largest_gradient), first_(first) {}

    CML_FN void coming(const Pair&) const {}
    CML_FN void chosen(int32_t) const {}

    CML_FN bool take(int64_t visit, const Pair& pair, int32_t negative,
                     const Contribution& c) const {
        const bool fit = negative < 0 || c.gradient_bound <= largest_ * largest_;
        records_[visit - first_] = {pair.user, pair.positive, fit ? negative : -1, 2.0f * c.weight};
        return fit;
    }

 private:
    Record* records_;
    float largest_;
    int64_t first_;
};

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
