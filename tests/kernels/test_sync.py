"""Synchronous mini-batches: the oracle's bits, whoever does the work."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from oracle.training import rounding_unit
from support.kernels import (
    INSTRUCTION_SETS,
    Tables,
    check_against_oracle,
    digest,
    job_arguments,
    larger_problem,
    make_job,
    oracle_settings,
    random_likes,
    random_tables,
    settings,
    snapshot,
)
from support.trainers import assert_same, trainer, vectors

from cml_fast import Trainer, _core
from cml_fast._compute.devices import ISA_VARIABLE


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


@pytest.mark.parametrize("n_dims", [1, 31, 33, 100, 250, 300, 1500, 2048])
def test_equals_the_oracle(kernel, n_dims):
    counters = check_against_oracle(problem, kernel, 0, 150, n_dims=n_dims)
    assert counters.active > 80


@pytest.mark.parametrize(
    ("batch_size", "n_negatives"), [(1, 1), (7, 20), (32, 33), (33, 7), (64, 20), (2**24, 33)]
)
def test_equals_the_oracle_for_any_batch_size(kernel, batch_size, n_negatives):
    """Two epochs: a batch ends with its epoch."""
    changes = {"batch_size": batch_size, "n_negatives": n_negatives, "margin": 0.8}
    counters = check_against_oracle(problem, kernel, 0, None, **changes)
    assert 0 < counters.active < counters.pairs


def test_a_batch_is_not_its_pairs_one_by_one(kernel):
    """Rows are shared within the batches of these tests, so that their sums matter."""
    alone, _, _ = problem(kernel)
    tables, likes, chosen = problem(kernel)
    make_job(tables, likes, chosen).run(0, 50)
    make_job(alone, likes, settings(batch_size=1)).run(0, 50)
    assert digest(snapshot(alone)) != digest(snapshot(tables))


# --- the same bits, whoever does the work -----------------------------------------------------


@pytest.mark.parametrize("n_threads", [2, 7])
@pytest.mark.parametrize("batch_size", [50, 400])
def test_any_number_of_threads(isa, n_threads, batch_size):
    launches = [(0, 400), (400, 800)]
    changes = {"n_users": 60, "batch_size": batch_size, "n_dims": 100}
    expected = digest_after("cpu", launches, **changes)
    for _ in range(5):
        assert digest_after("cpu", launches, n_threads=n_threads, **changes) == expected


@pytest.mark.parametrize("n_dims", [16, 100, 1500])
@pytest.mark.parametrize("other", INSTRUCTION_SETS[1:])
def test_every_instruction_set(monkeypatch, other, n_dims):
    digests = set()
    for name in (INSTRUCTION_SETS[0], other):
        monkeypatch.setenv(ISA_VARIABLE, name)
        digests.add(digest_after("cpu", [(0, 250)], n_dims=n_dims))
    assert len(digests) == 1


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


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_sums_take_no_more_memory_than_all_rows_have(emulator, loss):
    sizes = {}
    for batch_size in (5, 75, 2**24):
        tables, likes, chosen = problem("emulated", loss=loss, tile_size=1, batch_size=batch_size)
        sizes[batch_size] = make_job(tables, likes, chosen).batch_bytes()
    assert sizes[5] < sizes[75] == sizes[2**24]
    if loss == "warp":  # which needs no memory but for sums: integers of 8 bytes
        row = 4 + 8 * tables.arrays["users"].shape[1]
        assert 0 <= sizes[75] - 75 * row < 3 * 128


# --- the trainer ------------------------------------------------------------------------------


LIKES = random_likes(np.random.default_rng(7), 120, 200, density=0.1)


def fitted(fit_options=None, **params):
    params = {"n_dims": 20, "n_epochs": 4, "update": "sync", **params}
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


@pytest.mark.parametrize("batch_size", [1, 2, 4096, 4097, 2**24])
@pytest.mark.parametrize("largest", [1e-15, 0.37, 1.0, 1e15])
def test_no_sum_of_a_batch_can_overflow(batch_size, largest):
    scale, unit, limit = _core.fixed_point(batch_size, largest)
    assert limit >= largest
    assert scale * unit == 1
    assert np.frexp(unit)[0] == 0.5  # a power of two
    assert limit * scale <= 2**50
    assert batch_size * int(limit * scale) <= 2**62


@pytest.mark.parametrize(
    ("loss", "batch_size", "n_summands"), [("warp", 1, 1), ("warp", 5000, 5000), ("softmax", 65, 3)]
)
@pytest.mark.parametrize("largest", [1e-6, 1.0, 1234.5])
def test_the_oracle_rounds_to_the_same_unit(loss, batch_size, n_summands, largest):
    """A tile adds a single gradient to a row."""
    chosen = settings(loss=loss, batch_size=batch_size, tile_size=32)
    unit = rounding_unit(oracle_settings(chosen, largest_gradient=largest))
    assert _core.fixed_point(n_summands, largest)[1] == unit


def extreme_problem(device, weight, max_norm):
    tables, likes, chosen = problem(device, max_norm=max_norm, margin=max_norm**2)
    likes.data *= np.float32(weight)
    return tables, likes, chosen


@pytest.mark.parametrize("weight", [1e-20, 1e9])
@pytest.mark.parametrize("max_norm", [1e-3, 1e3])
def test_extreme_weights_and_norms(kernel, weight, max_norm):
    changes = {"weight": weight, "max_norm": max_norm}
    assert check_against_oracle(extreme_problem, kernel, 0, 100, **changes).active > 50


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
