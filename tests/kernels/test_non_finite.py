"""Updates that are not finite are refused and reported, and training stops."""

import numpy as np
import pytest
from oracle import draws
from oracle.problem import Tables
from support.kernels import (
    assert_same_tables,
    larger_problem,
    make_job,
    oracle_of,
    settings,
    snapshot,
    train_oracle,
)

SAMPLES = 10**6  # what is asked for
SOON = 10**4  # where a kernel has stopped at the latest


def first_active_sample(of_pair=None):
    """The first sample of larger_problem that changes something, of one pair if that matters, and
    the oracle's tables before it."""
    tables, likes, _ = larger_problem("cpu")
    chosen = settings()
    oracle = oracle_of(tables)
    for sample in range(10 * likes.nnz):
        epoch, position = divmod(sample, likes.nnz)
        pair = draws.sample_order(likes.nnz, chosen.seed, epoch, position)
        before = Tables(*(table.copy() for table in vars(oracle).values()))
        active = train_oracle(oracle, likes, sample, sample + 1, chosen)["active"]
        if active and of_pair in (None, pair):
            return sample, before
    raise AssertionError("the pair never was active")


@pytest.mark.parametrize("learning_rate", [1e38, 1e22])
def test_a_step_that_overflows_is_refused(kernel, learning_rate):
    tables, likes, chosen = larger_problem(kernel, learning_rate=learning_rate)
    first, _ = first_active_sample()
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(0, SAMPLES)
    assert counters.first_non_finite == first
    assert counters.pairs < SOON
    assert counters.active > 0
    assert counters.loss == 0.0  # nothing was learned
    for name, array in snapshot(tables).items():
        assert np.isfinite(array).all(), name
        if name in ("users", "items"):
            np.testing.assert_array_equal(array, before[name], name)


@pytest.mark.parametrize("weight", [1e20, 3e38])
def test_a_gradient_that_overflows_is_refused(kernel, weight):
    """One pair with a huge weight: what precedes its first active sample is as without it."""
    tables, likes, chosen = larger_problem(kernel)
    first, expected = first_active_sample(of_pair=101)
    likes.data[101] = weight
    job = make_job(tables, likes, chosen)
    assert job.run(0, first).first_non_finite is None
    assert_same_tables(tables, expected)
    assert job.run(first, first + 1).first_non_finite == first
    assert_same_tables(tables, expected)  # not even the accumulators have changed

    tables, *_ = larger_problem(kernel)
    counters = make_job(tables, likes, chosen).run(0, SAMPLES)
    assert counters.first_non_finite == first
    assert counters.pairs < SOON
    assert all(np.isfinite(array).all() for array in snapshot(tables).values())


def test_rows_too_large_are_not_stepped_on(kernel):
    """Distances to half of the items are finite, but the gradients would not be."""
    tables, likes, chosen = larger_problem(kernel)
    tables.arrays["items"][::2, : chosen.n_dims] = 1e18
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(0, SAMPLES)
    assert counters.first_non_finite is not None
    assert counters.pairs < SOON
    after = snapshot(tables)
    assert all(np.isfinite(array).all() for array in after.values())
    np.testing.assert_array_equal(after["items"][::2], before["items"][::2])
    assert not after["item_accumulators"][::2].any()


@pytest.mark.parametrize("bad", [3e38, np.inf, np.nan])
def test_rows_whose_distances_overflow_change_no_other(kernel, bad):
    tables, likes, chosen = larger_problem(kernel)
    tables.arrays["items"][::2, : chosen.n_dims] = bad
    before = snapshot(tables)
    make_job(tables, likes, chosen).run(0, 10 * likes.nnz)
    after = snapshot(tables)
    np.testing.assert_array_equal(after["items"][::2], before["items"][::2])
    assert not after["item_accumulators"][::2].any()
    assert np.isfinite(after["users"]).all()
    assert np.isfinite(after["user_accumulators"]).all()
    assert np.isfinite(after["items"][1::2]).all()


@pytest.mark.parametrize("n_negatives", [7, 32])  # with and without unused lanes, which hold NaN
@pytest.mark.parametrize("bad", [1e19, np.inf])
def test_a_positive_too_far_away_is_reported(kernel, bad, n_negatives):
    """Its hinges are infinite: such a pair is neither learned from nor passed over in silence."""
    tables, likes, chosen = larger_problem(kernel, n_negatives=n_negatives)
    tables.arrays["items"][::2, : chosen.n_dims] = bad
    counters = make_job(tables, likes, chosen).run(0, SAMPLES)
    assert counters.first_non_finite is not None
    assert counters.pairs < SOON
