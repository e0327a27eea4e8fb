"""The oracle itself: against finite differences, values worked out by hand and exact sums."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import arithmetic, draws, losses, updates
from oracle.gradients import step_gradients, tile_gradients
from oracle.problem import Settings, Tables, new_counters
from support.kernels import random_likes

from cml_fast import _core

LOSSES = [*losses.PAIR_LOSSES, *losses.TILE_LOSSES]


def settings(**changes):
    values = {"n_negatives": 6, "margin": 1.0, "learning_rate": 0.1, "epsilon": 1e-8}
    return Settings(**{**values, "max_norm": 1.0, "seed": 7, **changes})


def random_vectors(rng, *shapes):
    """Tables in float64."""
    vectors = [rng.normal(size=shape) / 2 for shape in shapes]
    return Tables(vectors[0], np.zeros(shapes[0]), vectors[1], np.zeros(shapes[1]))


# --- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(2))
def test_gradients_are_those_of_finite_differences(loss, seed):
    """Of every loss; rank weights are constant where a step is so small."""
    rng = np.random.default_rng(seed)
    likes = sp.csr_array((rng.random((5, 20)) < 0.4).astype(np.float64))
    likes.data[:] = rng.uniform(0.5, 2, likes.nnz)
    tables = random_vectors(rng, (5, 4), (20, 4))
    chosen = settings(
        n_negatives=9,
        margin=1.5,
        seed=seed,
        loss=loss,
        tile_size=8,
        temperature=0.7,
        importance_weight=20 / 9,
        negative_weight=0.3,
    )

    def loss_and_gradients():
        counters = new_counters()
        steps = list(step_gradients(tables, likes, range(12), chosen, counters))
        return counters["loss"], [gradient for step in steps for gradient in step]

    sums = {"user": np.zeros((5, 4)), "item": np.zeros((20, 4))}
    for name, row, gradient in loss_and_gradients()[1]:
        sums[name][row] += gradient
    assert np.abs(sums["user"]).max() > 0.1
    for name, table in (("user", tables.users), ("item", tables.items)):
        for place in np.ndindex(table.shape):
            before = table[place]
            values = []
            for step in (1e-6, -1e-6):
                table[place] = before + step
                values.append(loss_and_gradients()[0])
            table[place] = before
            slope = (values[0] - values[1]) / 2e-6
            assert sums[name][place] == pytest.approx(slope, abs=5e-6)


def test_a_users_own_items_are_no_negatives():
    """A user who likes all items but one: only that one is a negative."""
    likes = sp.csr_array(np.array([[1.0] * 9 + [0]], dtype=np.float32))
    tables = Tables(*(np.full((n, 2), 0.1 * n) for n in (1, 1, 10, 10)))
    chosen = settings(n_negatives=50, margin=9.0, max_norm=9.0, loss="contrastive")
    counters = new_counters()
    step = tile_gradients(tables, likes, range(9), chosen, counters)
    users, positives, negatives = step[:9], step[9:18], step[18:]
    assert {name for name, _, _ in users} == {"user"}
    assert {row for _, row, _ in positives} == set(range(9))
    assert {(name, row) for name, row, _ in negatives} == {("item", 9)}
    assert counters["impostors"] == 9 * len(negatives) > 0


# --- losses -----------------------------------------------------------------------------------


def test_warp_by_hand():
    positive, negatives = np.float64(1.0), np.array([3.0, 1.25, 0.5, 0.5])
    loss = losses.warp(positive, negatives, 2.0, 8, settings(margin=0.5))
    assert (loss.negative, loss.impostors) == (2, 3)  # the first of the two nearest
    assert loss.weight == pytest.approx(2 * math.log(7))
    assert loss.value == pytest.approx(2 * math.log(7) * 1.0)
    loss = losses.warp(positive, np.array([1.5, 2.0]), 2.0, 8, settings(margin=0.5))
    assert (loss.negative, loss.impostors, loss.value) == (-1, 0, 0.0)  # on the margin is outside


def test_shared_warp_by_hand():
    """Pairs with three impostors, of which two are as near as each other; with none; with one,
    whose second negative is liked."""
    positive = np.array([1.0, 1.0, 0.25])
    negatives = np.array([[1.25, 1.5, 0.5], [0.5, 2.0, np.inf], [0.5, 9.0, 3.0], [3.0, 1.5, 4.0]])
    loss = losses.shared_warp(
        positive, negatives, np.array([2.0, 1.0, 1.0]), 8, settings(margin=0.5)
    )
    weight = np.array([2 * math.log(7), 0, math.log(3)])
    assert loss.impostors.tolist() == [3, 0, 1]
    assert loss.value == pytest.approx(weight * [1.0, 0, 0.25])
    assert loss.positive == pytest.approx(2 * weight)
    assert loss.user.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(loss.negatives != 0, [[0, 0, 1], [1, 0, 0], [0] * 3, [0] * 3])
    assert loss.negatives.sum(axis=0) == pytest.approx(2 * weight)


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_softmax_by_hand(temperature):
    """The second negative is none of the second pair's."""
    positive, negatives = np.array([0.5, 1.0]), np.array([[0.7, 0.9], [0.4, np.inf]])
    chosen = settings(temperature=temperature, importance_weight=5.0)
    loss = losses.softmax(positive, negatives, np.array([1.0, 3.0]), 10, chosen)
    shares = [
        math.exp(-0.5 / temperature),
        5 * math.exp(-0.7 / temperature),
        5 * math.exp(-0.4 / temperature),
    ]
    assert loss.value[0] == pytest.approx(-math.log(shares[0] / sum(shares)))
    assert loss.value[1] == pytest.approx(3 * math.log1p(5 * math.exp(0.1 / temperature)))
    assert loss.impostors.tolist() == [1, 1]


def test_contrastive_by_hand():
    positive, negatives = np.array([0.5, 1.0]), np.array([[0.7, 0.9], [0.4, np.inf]])
    chosen = settings(margin=0.8, negative_weight=5.0)
    loss = losses.contrastive(positive, negatives, np.array([1.0, 3.0]), 10, chosen)
    assert loss.value == pytest.approx([0.5 + 5 * (0.1 + 0.4), 3 * 1.0])
    assert loss.impostors.tolist() == [2, 0]


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
    assert losses.rank_weight(n_items, n_negatives, impostors) == pytest.approx(expected)
    compiled = _core.rank_weights(n_items, n_negatives)
    assert compiled[impostors] == pytest.approx(expected)


@pytest.mark.parametrize("n_negatives", [1, 3, 20, 1024])
@pytest.mark.parametrize("n_items", [2, 19, 100, 123_457, 2**31 - 1])
def test_compiled_rank_weights_are_the_oracles(n_items, n_negatives):
    compiled = _core.rank_weights(n_items, n_negatives)
    expected = [losses.rank_weight(n_items, n_negatives, m) for m in range(n_negatives + 1)]
    assert compiled.dtype == np.float32
    np.testing.assert_array_equal(compiled, np.array(expected, dtype=np.float32))


# --- updates ----------------------------------------------------------------------------------


def test_adagrad_by_hand():
    x, accumulator = np.array([1.0, -2.0, 3.0]), np.array([9.0, 0.0, 0.0])
    stepped = updates.adagrad(x, accumulator, np.array([4.0, -3.0, 0.0]), 0.5, 0.0625)
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
def test_projection_onto_the_ball_by_hand(x, max_norm, expected):
    np.testing.assert_allclose(
        updates.project_onto_ball(np.array(x), max_norm), expected, rtol=1e-15
    )


# --- draws ------------------------------------------------------------------------------------


def test_every_item_is_drawn_as_often():
    n_items, n, tiles = 37, 8, 4000
    counts = np.zeros(n_items)
    for position in range(tiles):
        drawn = draws.draw_shared_negatives(n_items, n, 3, 0, position)
        assert (np.diff(drawn) >= 0).all()
        counts += np.bincount(drawn, minlength=n_items)
    expected = tiles * n / n_items
    # An item's count varies less than a binomial one: at most one stratum or two draw it.
    assert abs(counts - expected).max() < 5 * np.sqrt(expected)
    assert counts.sum() == tiles * n


def test_sharing_leaves_the_expected_gradient_unchanged(monkeypatch):
    """The gradients of a tile of 16 pairs, and of the same pairs with negatives of their own each,
    averaged over many draws: the same for every row, within five standard errors."""
    rng = np.random.default_rng(0)
    likes = random_likes(rng, 6, 30)
    tables = random_vectors(rng, (6, 3), (30, 3))
    n_draws = 300
    draw = draws.draw_shared_negatives

    def gradients(tile_size, seed):
        """The order of samples is that of the settings, the negatives are drawn with ``seed``."""
        monkeypatch.setattr(
            draws, "draw_shared_negatives", lambda m, n, _, *place: draw(m, n, seed, *place)
        )
        chosen = settings(loss="contrastive", negative_weight=0.5, tile_size=tile_size)
        total = np.zeros((36, 3))
        for step in step_gradients(tables, likes, range(16), chosen, new_counters()):
            for name, row, gradient in step:
                total[row + (6 if name == "item" else 0)] += gradient
        return total

    shared = np.array([gradients(16, seed) for seed in range(n_draws)])
    own = np.array([gradients(1, seed) for seed in range(n_draws, 2 * n_draws)])
    error = np.sqrt((shared.var(axis=0) + own.var(axis=0)) / n_draws)
    varies = error > 0
    assert varies.sum() > 50
    difference = shared.mean(axis=0) - own.mean(axis=0)
    assert (abs(difference)[varies] < 5 * error[varies]).all()
    np.testing.assert_allclose(difference[~varies], 0, atol=1e-12)
    assert abs(shared.mean(axis=0)).max() > 20 * error.max()  # there is something to compare


# --- arithmetic -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 100, 2048])
def test_lane_sum_is_near_the_exact_sum(n):
    x = np.random.default_rng(n).normal(size=n)
    scale = np.abs(x).sum()
    assert abs(arithmetic.lane_sum(x) - math.fsum(x)) <= 1e-14 * scale
    single = x.astype(np.float32)
    assert abs(float(arithmetic.lane_sum(single)) - math.fsum(single)) <= 1e-5 * scale


def test_lane_sum_keeps_its_order():
    """Lanes first, then halves that lie 16, 8, 4, 2 and 1 apart."""
    x = np.zeros(64, dtype=np.float32)
    x[[0, 32]] = 2.0**24, 1.0  # one lane: the 1 is lost
    x[[1, 17]] = 1.0, 1.0  # together 2 before they meet lane 0
    assert arithmetic.lane_sum(x) == 2.0**24 + 2
    x[[1, 17]] = 0.0
    x[[1, 2]] = 1.0, 1.0  # each meets lane 0 alone, and is lost
    assert arithmetic.lane_sum(x) == 2.0**24


def test_fused_multiply_adds_are_rounded_once():
    rng = np.random.default_rng(2)
    a, b, c = (
        (rng.normal(size=20000) * 2.0 ** rng.integers(-30, 30, 20000)).astype(np.float32)
        for _ in range(3)
    )
    c[::2] = -(a[::2] * b[::2])  # cancels all but the rounding
    # Below the middle of two floats, but so little that float64 rounds to the middle.
    a[1], b[1], c[1] = 2**-24 * (1 + 2**-23), 1 - 2**-23, 1 + 2**-23
    fused = arithmetic.fma(a, b, c)
    assert fused[1] == np.float32(1 + 2**-23)
    for x, y, z, result in zip(a[:2000], b[:2000], c[:2000], fused[:2000], strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(result)) - exact)
        for neighbour in np.nextafter(result, np.float32([-np.inf, np.inf])):
            assert error <= abs(Fraction(float(neighbour)) - exact)


def test_rounding_to_bfloat16_takes_the_nearest():
    """bfloat16 is the upper half of a float, so its neighbours are found in the bits."""
    rng = np.random.default_rng(4)
    x = (rng.normal(size=20000) * 2.0 ** rng.integers(-100, 100, 20000)).astype(np.float32)
    x[0] = 0
    x[1::2].view(np.uint32)[:] &= 0xFFFFC000  # the lower half is 0, 1/4, 1/2 or 3/4 of a step
    lower = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    upper = (lower.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
    rounded = arithmetic.to_bfloat16(x)
    assert rounded.dtype == np.float32
    below, above = abs(x - lower), abs(upper - x)  # exact
    np.testing.assert_array_equal(rounded[below < above], lower[below < above])
    np.testing.assert_array_equal(rounded[below > above], upper[below > above])
    tie = below == above
    assert tie.sum() > 1000
    assert ((rounded == lower) | (rounded == upper))[tie].all()
    np.testing.assert_array_equal(arithmetic.to_bfloat16(-x), -rounded)


def test_exponentials_and_logarithms_are_near_the_true_ones():
    x = np.linspace(-39.9, 80, 100001, dtype=np.float32)
    np.testing.assert_allclose(arithmetic.exp(x), np.exp(np.float64(x)), rtol=1.2e-7)
    assert arithmetic.exp(np.float32([-40.5, -np.inf])).tolist() == [0, 0]
    y = np.exp(np.linspace(-30, 80, 100001)).astype(np.float32)
    np.testing.assert_allclose(arithmetic.log(y), np.log(np.float64(y)), rtol=2e-7, atol=2e-7)
