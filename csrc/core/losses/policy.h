// What a loss has to provide: the interface of the files in this folder. Each of them ends with
// CML_PAIRWISE_LOSS or CML_SHARED_NEGATIVE_LOSS, which puts the loss in the list of its kind, and
// registry.h includes them all.
//
// There are two kinds of losses, because they see different data.
//
// A pairwise loss (warp.h) looks at one pair of a user and an item that the user likes, with
// negatives that were drawn for this pair alone. It picks at most one of them to push away:
//
//   PairLoss evaluate<Lanes>(positive_distance, negative_distances, n, pair_weight)
//     positive_distance   squared distance between the user and the positive item
//     negative_distances  squared distances between the user and the n negatives, followed by
//                         infinity up to a multiple of kLanes
//     pair_weight         of the pair
//
// A loss with shared negatives (softmax.h, contrastive.h) looks at pairs that use the same
// negatives. Every negative may move:
//
//   PairBlockLoss<Lanes> evaluate<Lanes>(positive, weight, negatives)
//     positive     squared distances between the users and their positives
//     weight       of the pairs
//     negatives    squared distances between the users and the negatives (infinite: not a negative
//                  of that pair, because the user likes it). evaluate() replaces them by the
//                  coefficients
//
//                    n_ik = -2 dL/d(d_ik^2)
//
// What a lane is depends on the device, and with it the class Lanes::Negatives. On the CPU it is a
// pair; kLanes pairs are evaluated at once. On CUDA it is a negative; there is one pair at a time,
// and what belongs to the pair is the same in all lanes.
//
//   n                          how many there are
//   each(f)                    f(d) for each distance d, and perhaps for some infinite ones
//   replace(f)                 d = f(d) for each; returns the sum of the new ones, from the first
//                              negative to the last, because all devices must give the same bits
//   least(x)                   the least x after each(), which f() made of distances and least()
//   count(x)                   the sum of x after each() or replace(), whole numbers that f() added
//   keep_nearest(nearest, x)   x for the first negative that is not farther than nearest, else 0
//
// In both cases a loss has a constructor that takes the Job and keeps the hyper-parameters it
// needs, and a constant `kName`, its name in Python.
#pragma once

#include "../lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Result of a pairwise loss. The gradients of the user u, the positive v_j and the negative v_k are
//
//   g(u) = 2 w (v_k - v_j),  g(v_j) = 2 w (v_j - u),  g(v_k) = 2 w (u - v_k),  w = weight.
struct PairLoss {
    int32_t negative;   // index of the negative that is pushed away; -1: the pair changes nothing
    int32_t impostors;  // number of negatives that are too near
    float weight;       // of the loss, including the weight of the pair
    float loss;
    float gradient_bound;  // an upper bound of every squared gradient norm, up to rounding
};

// Result of a loss with shared negatives, for each pair i. With the coefficients n_ik
// of the negatives, p = positive_coefficient = 2 dL/d(d_ij^2) and
// user_coefficient = p - sum_k n_ik the gradients are
//
//   g(v_j) = p (v_j - u),   g(v_k) = n_ik (u - v_k),
//   g(u) = user_coefficient u - p v_j + sum_k n_ik v_k.
//
// All of them are proportional to the pair's weight. A pair with p = 0 changes nothing.
template <class Lanes>
struct PairBlockLoss {
    Lanes user_coefficient, positive_coefficient;
    Lanes loss;
    Lanes impostors;  // number of negatives that are too near
};

template <class... Policies>
struct LossList {
    static constexpr int kSize = sizeof...(Policies);
    template <class Policy>
    using Add = LossList<Policies..., Policy>;
};

// The lists are made while the files of the losses are included. The list with n losses is the
// result type of listed_losses(Position<Kind, n>), which is declared by the n-th loss of the kind
// and never called. Position<Kind, kMost> converts to all Position<Kind, n>, and overload
// resolution prefers the largest n that has been declared: the list with all losses so far.
template <class Kind, int n>
struct Position : Position<Kind, n - 1> {};
template <class Kind>
struct Position<Kind, 0> {};
constexpr int kMost = 32;  // losses of each kind

struct Pairwise;
struct SharedNegatives;
LossList<> listed_losses(Position<Pairwise, 0>);
LossList<> listed_losses(Position<SharedNegatives, 0>);

#define CML_LOSSES_SO_FAR(Kind) decltype(listed_losses(Position<Kind, kMost>{}))
#define CML_ADD_LOSS(Kind, Policy) \
    CML_LOSSES_SO_FAR(Kind)        \
    ::Add<Policy> listed_losses(Position<Kind, CML_LOSSES_SO_FAR(Kind)::kSize + 1>)

#define CML_PAIRWISE_LOSS(Policy) CML_ADD_LOSS(Pairwise, Policy)
#define CML_SHARED_NEGATIVE_LOSS(Policy) CML_ADD_LOSS(SharedNegatives, Policy)

}  // namespace CML_TARGET
}  // namespace cml
