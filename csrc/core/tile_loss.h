// What a loss with shared negatives is asked for.
//
// Such a loss is a policy, as the paper's is (warp_loss.h), for 32 pairs at a time, one in each
// lane. evaluate() is shown the squared distances of the positives and, in the rows of a matrix,
// those of the negatives (infinite: not a negative of that pair). It leaves the pushes of the
// negatives there,
//
//   push_ik = -2 dL/d(d_ik^2), from which  g(v_k) = push_ik (u - v_k),
//
// and returns the rest: with pull = 2 dL/d(d_ij^2) and own = pull - sum_k push_ik
//
//   g(v_j) = pull (v_j - u),   g(u) = own u - pull v_j + sum_k push_ik v_k.
//
// All are multiples of the pair's weight. A pair whose pull is zero changes nothing.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

template <class Lanes>
struct TileTerms {
    Lanes own, pull;
    Lanes loss;
    Lanes impostors;  // negatives that are too near
};

}  // namespace CML_TARGET
}  // namespace cml
