"""The oracle itself: against finite differences, hand-computed values and exact sums."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import reference

from cml_fast import _core

N_NEGATIVES = 6
MARGIN = 0.7


def distance(a, b):
    return float(((a - b) ** 2).sum())


class Problem:
    """A small problem in float64, and one visit of the oracle taken apart."""

    def __init__(self, seed, pair_weight):
        rng = np.random.default_rng(seed)
        dense = rng.random((4, 12)) < 0.4
        dense[:, 0] = True
        self.likes = sp.csr_array(dense.astype(np.float64))
        self.likes.data[:] = pair_weight
        self.seed = seed
        users, items = rng.normal(size=(4, 5)) / 3, rng.normal(size=(12, 5)) / 3
        self.tables = reference.Tables(users, np.zeros((4, 5)), items, np.zeros((12, 5)))

    def visit(self, t):
        """(user, positive, negatives) of a visit."""
        epoch, position = divmod(t, self.likes.nnz)
        pair = reference.visit_order(self.likes.nnz, self.seed, epoch, position)
        i = int(np.searchsorted(self.likes.indptr, pair, side="right")) - 1
        liked = self.likes.indices[self.likes.indptr[i] : self.likes.indptr[i + 1]]
        negatives = reference.draw_negatives(liked, 12, N_NEGATIVES, self.seed, pair, epoch)
        return i, int(self.likes.indices[pair]), negatives

    def train(self, t, epsilon=1e-3, rate=0.05):
        return reference.train(
            self.tables,
            self.likes,
            t,
            t + 1,
            reference.Settings(
                n_negatives=N_NEGATIVES,
                margin=MARGIN,
                learning_rate=rate,
                epsilon=epsilon,
                max_norm=1e3,
                seed=self.seed,
            ),
        )


@pytest.mark.parametrize("pair_weight", [1.0, 2.5])
@pytest.mark.parametrize("seed", range(6))
def test_gradients_are_those_of_finite_differences(seed, pair_weight):
    problem = Problem(seed, pair_weight)
    i, j, negatives = problem.visit(seed)
    users, items = problem.tables.users.copy(), problem.tables.items.copy()
    counters = problem.train(seed, epsilon=1e-3, rate=0.05)
    assert counters["active"] == 1
    weight = pair_weight * math.log(12 * counters["impostors"] // N_NEGATIVES + 1)

    def loss(users, items):
        """w * hinge of the worst negative, w held constant."""
        hinges = [
            MARGIN + distance(users[i], items[j]) - distance(users[i], items[k]) for k in negatives
        ]
        return weight * max(0.0, *hinges)

    assert counters["loss"] == pytest.approx(loss(users, items), rel=1e-12)

    def numeric(table):
        step, gradient = 1e-6, np.zeros_like(table)
        for place in np.ndindex(table.shape):
            kept = table[place]
            table[place] = kept + step
            above = loss(users, items)
            table[place] = kept - step
            gradient[place] = (above - loss(users, items)) / (2 * step)
            table[place] = kept
        return gradient

    # An AdaGrad step gives its gradient back: x' = x - rate * g / sqrt(accumulator + epsilon).
    after = problem.tables
    for before, now, accumulators in (
        (users, after.users, after.user_accumulators),
        (items, after.items, after.item_accumulators),
    ):
        gradient = (before - now) * np.sqrt(accumulators + 1e-3) / 0.05
        expected = numeric(before)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(accumulators, expected**2, rtol=1e-6, atol=1e-7)
    changed = (after.items != items).any(axis=1).nonzero()[0]
    assert len(changed) == 2 and j in changed


def test_adagrad_by_hand():
    x, accumulator = np.array([1.0, -2.0, 3.0]), np.array([9.0, 0.0, 0.0])
    stepped = reference.adagrad(x, accumulator, np.array([4.0, -3.0, 0.0]), 0.5, 0.0625)
    np.testing.assert_array_equal(accumulator, [25.0, 9.0, 0.0])
    expected = [1 - 2 / math.sqrt(25.0625), -2 + 1.5 / math.sqrt(9.0625), 3.0]
    np.testing.assert_allclose(stepped, expected, rtol=1e-15)
    np.testing.assert_array_equal(x, [1.0, -2.0, 3.0])


@pytest.mark.parametrize(
    ("x", "max_norm", "expected"),
    [
        ([3.0, 4.0], 1.0, [0.6, 0.8]),
        ([3.0, -4.0], 2.5, [1.5, -2.0]),
        ([3.0, 4.0], 5.0, [3.0, 4.0]),
        ([0.3, 0.4], 1.0, [0.3, 0.4]),
        ([0.0, 0.0], 1.0, [0.0, 0.0]),
    ],
)
def test_censor_by_hand(x, max_norm, expected):
    np.testing.assert_allclose(reference.censor(np.array(x), max_norm), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("n_items", "n_negatives", "impostors", "rank_plus_one"),
    [
        (100, 20, 20, 101),
        (100, 20, 1, 6),
        (100, 20, 0, 1),
        (10, 20, 1, 1),  # half a rank is none
        (10, 20, 2, 2),
        (10, 20, 3, 2),
        (2**31 - 1, 1024, 1024, 2**31),
    ],
)
def test_rank_weight_by_hand(n_items, n_negatives, impostors, rank_plus_one):
    expected = math.log(rank_plus_one)
    assert reference.rank_weight(n_items, n_negatives, impostors) == pytest.approx(expected)
    compiled = _core.rank_weights(n_items, n_negatives)
    assert compiled[impostors] == pytest.approx(expected)


@pytest.mark.parametrize("n_negatives", [1, 3, 20, 1024])
@pytest.mark.parametrize("n_items", [2, 19, 100, 123_457, 2**31 - 1])
def test_compiled_rank_weights_are_the_oracles(n_items, n_negatives):
    compiled = _core.rank_weights(n_items, n_negatives)
    expected = [reference.rank_weight(n_items, n_negatives, m) for m in range(n_negatives + 1)]
    assert compiled.dtype == np.float32
    np.testing.assert_array_equal(compiled, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 100, 2048])
def test_lane_sum_is_near_the_exact_sum(n):
    x = np.random.default_rng(n).normal(size=n)
    scale = np.abs(x).sum()
    assert abs(reference.lane_sum(x) - math.fsum(x)) <= 1e-14 * scale
    single = x.astype(np.float32)
    assert abs(float(reference.lane_sum(single)) - math.fsum(single)) <= 1e-5 * scale


def test_lane_sum_keeps_its_order():
    """Lanes first, then halves that lie 16, 8, 4, 2 and 1 apart."""
    x = np.zeros(64, dtype=np.float32)
    x[[0, 32]] = 2.0**24, 1.0  # one lane: the 1 is lost
    x[[1, 17]] = 1.0, 1.0  # together 2 before they meet lane 0
    assert reference.lane_sum(x) == 2.0**24 + 2
    x[[1, 17]] = 0.0
    x[[1, 2]] = 1.0, 1.0  # each meets lane 0 alone, and is lost
    assert reference.lane_sum(x) == 2.0**24


def test_warp_loss_by_hand():
    positive, negatives = np.float64(1.0), np.array([3.0, 1.25, 0.5, 0.5])
    c = reference.warp_loss(positive, negatives, 0.5, 8, 2.0)
    assert (c.slot, c.impostors) == (2, 3)  # the first of the two nearest
    assert c.weight == pytest.approx(2 * math.log(7))
    assert c.loss == pytest.approx(2 * math.log(7) * 1.0)
    c = reference.warp_loss(positive, np.array([1.5, 2.0]), 0.5, 8, 2.0)
    assert (c.slot, c.impostors, c.loss) == (-1, 0, 0.0)  # on the margin is outside
