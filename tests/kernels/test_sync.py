"""Synchronous mini-batches: the oracle's bits, whoever does the work."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import reference
from support.kernels import (
    Tables,
    assert_same_counters,
    assert_same_tables,
    digest,
    job_arguments,
    larger_problem,
    make_job,
    oracle_of,
    random_likes,
    random_tables,
    settings,
    snapshot,
    train_oracle,
)
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer, _core


@pytest.fixture
def kernel(sync_kernel):
    return sync_kernel


def problem(device, n_users=15, n_items=60, **changes):
    likes = random_likes(np.random.default_rng(5), n_users, n_items, weighted=True)
    chosen = settings(**{"batch_size": 50, **changes})
    return random_tables(device, likes.shape, chosen), likes, chosen


def digest_after(device, launches, **changes):
    tables, likes, chosen = problem(device, **changes)
    job = make_job(tables, likes, chosen)
    for begin, end in launches:
        job.run(begin, end)
    return digest(snapshot(tables))


def two_epochs(batch_size, n_pairs):
    """The bounds of all batches of two epochs."""
    inner = range(0, n_pairs, batch_size)
    return [*inner, *(n_pairs + i for i in inner), 2 * n_pairs]


# --- equal to the oracle ----------------------------------------------------------------------


@pytest.mark.parametrize("n_dims", [1, 16, 17, 31, 32, 33, 100, 250, 300, 1024, 1500, 2048])
def test_equals_the_oracle(kernel, n_dims):
    tables, likes, chosen = problem(kernel, n_dims=n_dims)
    oracle = oracle_of(tables)
    counters = make_job(tables, likes, chosen).run(0, 150)
    assert_same_counters(counters, train_oracle(oracle, likes, 0, 150, chosen))
    assert counters.active > 80
    assert_same_tables(tables, oracle)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 33, 64, 1000, 2**24])
@pytest.mark.parametrize("n_negatives", [1, 20, 33])
def test_equals_the_oracle_for_any_batch_size(kernel, batch_size, n_negatives):
    """Two epochs: a batch ends with its epoch."""
    tables, likes, chosen = problem(
        kernel, batch_size=batch_size, n_negatives=n_negatives, margin=0.8
    )
    oracle = oracle_of(tables)
    end = 2 * likes.nnz
    counters = make_job(tables, likes, chosen).run(0, end)
    assert_same_counters(counters, train_oracle(oracle, likes, 0, end, chosen))
    assert 0 < counters.active < end
    assert_same_tables(tables, oracle)


def test_a_batch_is_not_its_pairs_one_by_one(kernel):
    """Rows are shared within the batches of these tests, so that their sums matter."""
    alone, _, _ = problem(kernel)
    tables, likes, chosen = problem(kernel)
    make_job(tables, likes, chosen).run(0, 50)
    make_job(alone, likes, settings(batch_size=1)).run(0, 50)
    assert digest(snapshot(alone)) != digest(snapshot(tables))


# --- the same bits, whoever does the work -----------------------------------------------------


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("batch_size", [50, 400])
def test_any_number_of_threads(isa, n_threads, batch_size):
    launches = [(0, 400), (400, 800)]
    changes = {"n_users": 60, "batch_size": batch_size, "n_dims": 100}
    expected = digest_after("cpu", launches, **changes)
    for _ in range(5):
        assert digest_after("cpu", launches, n_threads=n_threads, **changes) == expected


@pytest.mark.parametrize("n_dims", [16, 100, 1500])
def test_every_instruction_set(isa, monkeypatch, n_dims):
    got = digest_after("cpu", [(0, 250)], n_dims=n_dims)
    monkeypatch.setenv("CML_FAST_ISA", _core.build_info()["instruction_sets"][-1])
    assert digest_after("cpu", [(0, 250)], n_dims=n_dims) == got


def test_any_split_into_launches(kernel):
    _, likes, _ = problem(kernel)
    bounds = two_epochs(50, likes.nnz)
    expected = digest_after(kernel, [(0, bounds[-1])])
    every = list(itertools.pairwise(bounds))
    assert digest_after(kernel, every) == expected
    assert digest_after(kernel, [(0, bounds[3]), (bounds[3], bounds[-1])]) == expected


def test_devices_may_take_turns(kernel):
    expected = digest_after("cpu", [(0, 250)])
    tables, likes, chosen = problem("cpu")
    for number, device in enumerate(["cpu", kernel, "cpu", kernel, "cpu"]):
        columns = {name: array[:, : chosen.n_dims] for name, array in snapshot(tables).items()}
        tables = Tables(device, chosen.n_dims, **columns)
        make_job(tables, likes, chosen).run(50 * number, 50 * number + 50)
    assert digest(snapshot(tables)) == expected


def test_order_of_addition_matters_not(kernel):
    """A popular item: many pairs of a batch add to one row, in an order that threads vary."""
    likes = sp.csr_array(np.pad(np.ones((500, 1), dtype=np.float32), ((0, 0), (0, 40))))
    digests = set()
    for n_threads in (1, 2, 7):
        chosen = settings(batch_size=500, n_threads=n_threads, n_dims=100, margin=3.0)
        tables = random_tables(kernel, likes.shape, chosen)
        counters = make_job(tables, likes, chosen).run(0, 1000)
        assert counters.active == 1000
        digests.add(digest(snapshot(tables)))
    assert len(digests) == 1


# --- the trainer ------------------------------------------------------------------------------


LIKES = random_likes(np.random.default_rng(7), 120, 200, density=0.1)


def fitted(fit_options=None, **params):
    params = {"n_dims": 20, "n_epochs": 4, "batch_size": 100, "update": "sync", **params}
    return trainer(**params).fit(LIKES, **(fit_options or {}))


def test_a_trainer_repeats_itself_with_any_number_of_threads(device):
    one = fitted(device=device)
    assert_same(fitted(n_threads=3), one)
    for other in ({"batch_size": 99}, {"update": "async"}):
        assert not np.array_equal(vectors(fitted(**other)), vectors(one))


def test_resumed_on_another_number_of_threads(tmp_path):
    class Stop(Exception):
        pass

    def stop(_, report):
        if report.epoch == 2:
            raise Stop

    options = {"checkpoint": tmp_path / "kept", "checkpoint_every": 0.3}
    with pytest.raises(Stop):
        fitted({**options, "callbacks": [stop]}, n_threads=2)
    resumed = Trainer.resume(options["checkpoint"], LIKES, n_threads=3)
    assert resumed.n_epochs_ == 4
    assert_same(resumed, fitted())


# --- rounding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 1000, 4096, 4097, 2**20, 2**24])
@pytest.mark.parametrize("largest", [1e-15, 0.37, 1.0, 1000.0, 1e15])
def test_no_sum_of_a_batch_can_overflow(batch_size, largest):
    scale, unit, limit = _core.fixed_point(batch_size, largest)
    assert limit >= largest
    assert scale * unit == 1
    assert np.frexp(unit)[0] == 0.5  # a power of two
    assert limit * scale <= 2**50
    assert batch_size * int(limit * scale) <= 2**62


def test_the_oracle_rounds_to_the_same_unit():
    for batch_size, margin, max_norm, weight in [(1, 0.3, 1.0, 1.0), (5000, 1.0, 1e-6, 7.5)]:
        chosen = settings(batch_size=batch_size, margin=margin, max_norm=max_norm)
        values = {
            f: getattr(chosen, f) for f in reference.Settings.__annotations__ if f != "epsilon"
        }
        unit = reference.unit_of(60, weight, reference.Settings(**values, epsilon=1e-8))
        largest = 1.001 * 8 * np.log(61) * weight * max_norm
        assert _core.fixed_point(batch_size, largest)[1] == unit


@pytest.mark.parametrize("weight", [1e-20, 1e9])
@pytest.mark.parametrize("max_norm", [1e-3, 1e3])
def test_extreme_weights_and_norms(kernel, weight, max_norm):
    tables, likes, chosen = problem(kernel, max_norm=max_norm, margin=max_norm**2)
    likes.data *= np.float32(weight)
    oracle = oracle_of(tables)
    counters = make_job(tables, likes, chosen).run(0, 100)
    assert_same_counters(counters, train_oracle(oracle, likes, 0, 100, chosen))
    assert counters.active > 50
    assert_same_tables(tables, oracle)


# --- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.inf, 1e20])
def test_a_batch_with_a_bad_gradient_changes_nothing(kernel, bad):
    tables, likes, chosen = problem(kernel)
    tables.arrays["items"][::2, 0] = bad
    before = snapshot(tables)
    counters = make_job(tables, likes, chosen).run(0, 100)
    assert counters.first_non_finite in range(50)
    assert counters.pairs == 50
    for name, array in snapshot(tables).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_step_that_overflows_is_refused(kernel):
    tables, likes, chosen = problem(kernel, learning_rate=3e38)
    counters = make_job(tables, likes, chosen).run(0, likes.nnz)
    assert counters.first_non_finite == 0  # of the batch
    assert counters.pairs == 50
    assert all(np.isfinite(array).all() for array in snapshot(tables).values())


@pytest.mark.parametrize(("begin", "end"), [(0, 51), (1, 50), (49, 100)])
def test_launches_are_of_whole_batches(begin, end):
    tables, likes, chosen = problem("cpu")
    with pytest.raises(ValueError, match="bounds of batches or tiles of 50 samples"):
        make_job(tables, likes, chosen).run(begin, end)


@pytest.mark.parametrize("bad", [-1, 2**24 + 1])
def test_batch_size_out_of_range(bad):
    with pytest.raises(ValueError, match="batch_size must be between 0 and 16777216"):
        _core.Job("cpu", **job_arguments(batch_size=bad))


def test_vectors_stay_in_the_ball(kernel):
    tables, likes, chosen = larger_problem(kernel, batch_size=40, learning_rate=1.0)
    make_job(tables, likes, chosen).run(0, 5 * likes.nnz)
    for name in ("users", "items"):
        norms = np.linalg.norm(snapshot(tables)[name].astype(np.float64), axis=1)
        assert norms.max() < 1 + 1e-6
