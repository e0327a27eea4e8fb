// The distances from a user to the negatives, see core/losses/policy.h: a negative in each lane, so
// that all warps have a part of the loss. The one part that lanes cannot divide is a sum in order.
#pragma once

#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

struct Lanes::Negatives {
    static constexpr int kPairs = 1;  // at once

    float* p;  // row of the pair in the first of the blocks of 32 negatives, see workspace.h
    int n;

    // What belongs to the pair.
    static CML_FN Lanes load_pairs(const float* q) { return {*q}; }
    static CML_FN void store_pairs(float* q, Lanes x) { put(q, x.x); }

    // Beyond the last negative distances are infinite: they change nothing.
    template <class F>
    CML_FN void each(F f) const {
        for (int k = lane(); k - lane() < n; k += kLanes) f(Lanes{k < n ? *at(k) : INFINITY});
    }

    static CML_FN Lanes least(Lanes x) {
        CML_UNROLL
        for (int shift = kLanes / 2; shift > 0; shift /= 2) {
            x = smaller(x, {__shfl_xor_sync(kAllLanes, x.x, shift)});
        }
        return x;
    }

    template <class F>
    CML_FN Lanes replace(F f) const {
        Lanes::sync();  // all lanes have read what follows is written to
        for (int k = lane(); k - lane() < n; k += kLanes) {
            const Lanes x = f(Lanes{k < n ? *at(k) : INFINITY});
            if (k < n) *at(k) = x.x;
        }
        Lanes::sync();
        return {sum_in_order()};
    }

    static CML_FN Lanes count(Lanes x) {
        float total[1];
        Lanes::sum({x}, total);
        return {total[0]};
    }

    CML_FN void keep_nearest(Lanes nearest, Lanes x) const {
        Lanes::sync();
        bool found = false;
        for (int k = lane(); k - lane() < n; k += kLanes) {
            const bool near = k < n && !(*at(k) - nearest.x > 0.0f);
            const unsigned all = __ballot_sync(kAllLanes, near);
            if (k < n) *at(k) = !found && near && lane() == lowest_bit(all) ? x.x : 0.0f;
            found |= all != 0;
        }
    }

 private:
    CML_FN float* at(int k) const { return p + k / kLanes * kColumnBlock + k % kLanes; }

    // All lanes read the same, four at a time: the additions wait for each other, the loads do not.
    CML_FN float sum_in_order() const {
        float sum = 0.0f;
        int k = 0;
        for (; k + 4 <= n; k += 4) {
            float x[4];
            load_four(at(k), x);
            CML_UNROLL
            for (int i = 0; i < 4; ++i) sum += x[i];
        }
        for (; k < n; ++k) sum += *at(k);
        return sum;
    }
};

}  // namespace CML_TARGET
}  // namespace cml
