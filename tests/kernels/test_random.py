"""Randomness by counters: the generator, the order of samples, the negatives."""

import numpy as np
import pytest
from oracle import draws
from scipy.stats import chisquare

from cml_fast import _core

# Below this the chance that a sound generator fails a test is negligible; seeds are fixed anyway.
P = 1e-4


def numpy_philox(key, counter):
    """NumPy's generator adds one to its counter before each use."""
    number = (sum(word << 64 * i for i, word in enumerate(counter)) - 1) % 2**256
    words = [number >> 64 * i & (2**64 - 1) for i in range(4)]
    bits = np.random.Philox(
        key=np.array(key, dtype=np.uint64), counter=np.array(words, dtype=np.uint64)
    )
    return bits.random_raw(4).tolist()


def test_philox_is_numpys():
    rng = np.random.default_rng(0)
    cases = rng.integers(2**64, size=(50, 6), dtype=np.uint64).tolist()
    cases += [[0] * 6, [2**64 - 1] * 6, [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0]]
    for key0, key1, *counter in cases:
        expected = numpy_philox((key0, key1), counter)
        assert _core.philox([key0, key1], counter) == expected
        assert list(draws.philox((key0, key1), tuple(counter))) == expected


# --- the order of samples ----------------------------------------------------------------------

SIZES = [*range(1, 70), 127, 128, 129, 255, 256, 257, 999, 1000, 4097]


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_visit_order_is_a_bijection(seed):
    for n in SIZES:
        order = _core.visit_order(n, seed, 3, 0, n)
        assert sorted(order) == list(range(n)), n


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 37, 1000, 4097, 2**31 - 1, 2**31 + 9, 2**40 + 1])
def test_visit_order_is_the_oracles(n):
    for seed, epoch in [(0, 0), (2**64 - 1, 1), (7, 2**40)]:
        begin = max(0, n - 20)
        expected = [draws.sample_order(n, seed, epoch, p) for p in range(begin, n)]
        assert _core.visit_order(n, seed, epoch, begin, n).tolist() == expected
        assert all(0 <= pair < n for pair in expected)


def test_visit_order_of_a_range_is_part_of_the_whole():
    whole = _core.visit_order(1000, 5, 2, 0, 1000)
    for begin, end in [(0, 0), (0, 1), (17, 91), (999, 1000), (1000, 1000), (500, 1000)]:
        part = _core.visit_order(1000, 5, 2, begin, end)
        np.testing.assert_array_equal(part, whole[begin:end])


def test_visit_order_differs_by_seed_and_epoch():
    orders = {
        tuple(_core.visit_order(100, seed, epoch, 0, 100))
        for seed in [0, 1, 2, 2**32, 2**63]
        for epoch in [0, 1, 2, 2**32, 2**47]
    }
    assert len(orders) == 25


@pytest.mark.parametrize("bad", [(0, 0, 0), (10, -1, 5), (10, 6, 5), (10, 0, 11)])
def test_visit_order_refuses_ranges_outside(bad):
    n, begin, end = bad
    with pytest.raises(ValueError, match="0 <= begin <= end <= n"):
        _core.visit_order(n, 0, 0, begin, end)


@pytest.mark.parametrize("by", ["seed", "epoch"])
@pytest.mark.parametrize("n", [100, 128, 1000])
def test_every_pair_is_as_likely_at_every_position(n, by):
    keys = [(k, 5) if by == "seed" else (5, k) for k in range(20 * n)]
    for position in (0, 1, n // 2, n - 1):
        pairs = [_core.visit_order(n, *key, position, position + 1)[0] for key in keys]
        assert chisquare(np.bincount(pairs, minlength=n)).pvalue > P


def test_successive_samples_are_unrelated():
    """How far apart the pairs of two successive samples lie, modulo n, is uniform but never 0."""
    n = 1000
    orders = np.array([_core.visit_order(n, 1, epoch, 0, n) for epoch in range(50)])
    steps = np.bincount((np.diff(orders) % n).ravel(), minlength=n)
    assert steps[0] == 0
    assert chisquare(steps[1:]).pvalue > P


# --- the order of samples, in parts --------------------------------------------------------------


def places_of_parts(order, size):
    """The parts in the order in which they are visited; each is visited in one go."""
    parts = order // size
    starts = np.flatnonzero(np.diff(parts, prepend=-1))
    assert len(starts) == len(np.unique(parts))
    return parts[starts]


@pytest.mark.parametrize("size", [1, 2, 8, 64, 1024, 2**40])
def test_an_order_in_parts_is_a_bijection_that_keeps_them_together(size):
    for n in SIZES:
        order = _core.visit_order(n, 2**63, 3, 0, n, size)
        assert sorted(order) == list(range(n)), n
        places_of_parts(order, size)


@pytest.mark.parametrize("size", [1, 2, 64, 2**22, 2**40])
@pytest.mark.parametrize("n", [1, 5, 64, 1000, 2**31 + 9, 2**40 + 1])
def test_an_order_in_parts_is_the_oracles(n, size):
    for seed, epoch in [(0, 0), (2**64 - 1, 1), (7, 2**40)]:
        for begin in {0, n // 2, max(0, n - 20)}:
            end = min(begin + 20, n)
            positions = range(begin, end)
            expected = [draws.sample_order(n, seed, epoch, p, size) for p in positions]
            assert _core.visit_order(n, seed, epoch, begin, end, size).tolist() == expected


@pytest.mark.parametrize("n", [1, 100, 128])
def test_a_single_part_is_all_pairs_at_once(n):
    for size in (128, 2**30):
        order = _core.visit_order(n, 5, 6, 0, n, size)
        np.testing.assert_array_equal(order, _core.visit_order(n, 5, 6, 0, n))


def test_parts_are_visited_in_random_order_and_the_shorter_one_at_any_place():
    size, n_parts = 16, 9
    n = size * (n_parts - 1) + 5
    orders = [_core.visit_order(n, 1, epoch, 0, n, size) for epoch in range(200 * n_parts)]
    places = np.array([places_of_parts(order, size) for order in orders])
    for place in range(n_parts):
        assert chisquare(np.bincount(places[:, place], minlength=n_parts)).pvalue > P


def test_successive_parts_are_unrelated():
    """As successive samples are, from some hundreds on: a network over less is no perfect one."""
    n_parts = 500
    n = 2 * n_parts
    orders = np.array([_core.visit_order(n, 1, epoch, 0, n, 2)[::2] // 2 for epoch in range(80)])
    steps = np.bincount((np.diff(orders) % n_parts).ravel(), minlength=n_parts)
    assert steps[0] == 0
    assert chisquare(steps[1:]).pvalue > P


def test_each_part_has_an_order_of_its_own():
    """Where a pair lies in its part says nothing of where others do, there or in other parts."""
    size = 1024
    n = size * 4
    orders = []
    for epoch in range(50):
        order = _core.visit_order(n, 1, epoch, 0, n, size)
        parts = order.reshape(4, size)
        orders.append(parts[np.argsort(parts[:, 0])] % size)  # by the number of the part
    orders = np.array(orders)
    within = np.bincount((np.diff(orders) % size).ravel(), minlength=size)
    assert within[0] == 0
    assert chisquare(within[1:]).pvalue > P
    for one, other in [(0, 1), (0, 3), (1, 2)]:
        between = (orders[:, one] - orders[:, other]) % size
        assert chisquare(np.bincount(between.ravel(), minlength=size)).pvalue > P


@pytest.mark.parametrize("bad", [-1, 3, 2**41])
def test_parts_are_powers_of_two(bad):
    with pytest.raises(ValueError, match="power of two"):
        _core.visit_order(10, 0, 0, 0, 10, bad)


# --- negatives --------------------------------------------------------------------------------


def brute_force(liked, n_items):
    return np.setdiff1d(np.arange(n_items, dtype=np.int32), liked)


def test_ranks_to_items_is_the_complement():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n_items = int(rng.integers(2, 80))
        n_liked = int(rng.integers(1, n_items))
        liked = np.sort(rng.choice(n_items, n_liked, replace=False)).astype(np.int32)
        ranks = np.arange(n_items - n_liked, dtype=np.int32)
        items = _core.ranks_to_items(ranks, liked)
        np.testing.assert_array_equal(items, brute_force(liked, n_items))


@pytest.mark.parametrize("n_items", [2, 3, 17, 4096, 5000])
def test_ranks_to_items_where_almost_everything_is_liked(n_items):
    for free in {0, 1, n_items // 2, n_items - 1}:
        liked = brute_force([free], n_items)
        assert _core.ranks_to_items(np.zeros(1, np.int32), liked).tolist() == [free]


def test_ranks_to_items_at_the_end_of_int32():
    liked = np.array([0, 5, 2**31 - 3], dtype=np.int32)
    ranks = np.array([0, 3, 4, 2**31 - 6, 2**31 - 5], dtype=np.int32)
    expected = [1, 4, 6, 2**31 - 4, 2**31 - 2]
    assert _core.ranks_to_items(ranks, liked).tolist() == expected


def test_negatives_are_scaled_words_of_numpys_generator():
    liked = np.array([1, 4, 5])
    free = [0, 2, 3, 6, 7, 8, 9]
    words = [w for call in range(2) for w in numpy_philox((99, 0), (call, 12, 34, 0))]
    digits = [divmod(w * 7**2 // 2**64, 7) for w in words]  # in base 7, of a number in [0, 1)
    expected = [free[digit] for two in digits for digit in two][:10]
    assert draws.draw_negatives(liked, 10, 10, 99, 12, 34).tolist() == expected


@pytest.mark.parametrize("varies", ["slot", "pair", "epoch", "seed"])
def test_negatives_are_uniform(varies):
    """Over the slots of a few pairs, and over what else tells one draw from another."""
    liked = np.array([0, 3, 4, 11, 19])
    drawn = {
        "slot": lambda: [draws.draw_negatives(liked, 20, 1000, 7, k, 2) for k in range(6)],
        "pair": lambda: [draws.draw_negatives(liked, 20, 4, 7, k, 2) for k in range(1500)],
        "epoch": lambda: [draws.draw_negatives(liked, 20, 4, 7, 2, k) for k in range(1500)],
        "seed": lambda: [draws.draw_negatives(liked, 20, 4, k, 7, 2) for k in range(1500)],
    }
    counts = np.bincount(np.concatenate(drawn[varies]()), minlength=20)
    assert not counts[liked].any()
    assert chisquare(np.delete(counts, liked)).pvalue > P
