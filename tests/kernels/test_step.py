"""Steps along gradients that come from elsewhere: AdaGrad and the projection onto the norm ball."""

import numpy as np
import pytest
from oracle import updates
from oracle.problem import Settings
from support.kernels import (
    assert_same_tables,
    make_job,
    oracle_of,
    random_likes,
    random_tables,
    settings,
    snapshot,
)

from cml_fast._compute.settings import ADAGRAD_EPSILON


def problem(device, n_dims=33, n_threads=1, n_rows=40):
    likes = random_likes(np.random.default_rng(0), n_rows, n_rows)
    chosen = settings(n_dims=n_dims, n_threads=n_threads)
    tables = random_tables(device, likes.shape, chosen)
    return tables, make_job(tables, likes, chosen), chosen


def on_device(tables, array):
    if tables.device == "cpu":
        return array
    import cupy

    return cupy.asarray(array)


def step(tables, job, table, rows, gradients):
    rows = on_device(tables, np.asarray(rows, dtype=np.int64))
    return job.step(table, rows, tables.padded(gradients))


def step_oracle(oracle, table, rows, gradients, chosen):
    values = {"n_negatives": 1, "margin": 1.0, "seed": 0, "epsilon": ADAGRAD_EPSILON}
    for name in ("learning_rate", "max_norm"):
        values[name] = getattr(chosen, name)
    for row, gradient in zip(rows, gradients, strict=True):
        updates.update_row(oracle, table[:-1], row, gradient, Settings(**values))


@pytest.mark.parametrize("n_dims", [1, 31, 33, 100, 256, 300, 2048])
def test_equals_the_oracle(kernel, n_dims):
    tables, job, chosen = problem(kernel, n_dims)
    oracle = oracle_of(tables)
    rng = np.random.default_rng(1)
    for table, rows in [("users", [0, 3, 39]), ("items", range(40)), ("users", [3])]:
        gradients = rng.standard_normal((len(rows), n_dims), dtype=np.float32)
        assert step(tables, job, table, rows, gradients) is None
        step_oracle(oracle, table, rows, gradients, chosen)
    assert_same_tables(tables, oracle)


def test_any_number_of_threads(isa):
    expected = None
    for n_threads in (1, 2, 7):
        tables, job, _ = problem("cpu", 100, n_threads, n_rows=3000)
        gradients = np.random.default_rng(2).standard_normal((3000, 100), dtype=np.float32)
        assert step(tables, job, "items", range(3000), gradients) is None
        items = snapshot(tables)["items"]
        expected = items if expected is None else expected
        np.testing.assert_array_equal(items, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_a_bad_gradient_leaves_its_row(kernel, bad):
    tables, job, _ = problem(kernel)
    before = snapshot(tables)
    gradients = np.zeros((3, 33), dtype=np.float32)
    gradients[1, 5] = bad
    assert step(tables, job, "users", [2, 4, 7], gradients) == 1
    for name, array in snapshot(tables).items():
        np.testing.assert_array_equal(array[[4]], before[name][[4]])


def test_no_rows(kernel):
    tables, job, _ = problem(kernel)
    before = snapshot(tables)
    assert step(tables, job, "users", [], np.zeros((0, 33), dtype=np.float32)) is None
    np.testing.assert_array_equal(snapshot(tables)["users"], before["users"])


@pytest.mark.parametrize("rows", [[3, 3], [3, 2], [-1, 2], [2, 40]])
def test_rows_that_are_not_ascending_or_do_not_exist(rows):
    tables, job, _ = problem("cpu")
    before = snapshot(tables)
    with pytest.raises(ValueError, match="rows must be ascending, distinct and below 40"):
        step(tables, job, "items", rows, np.ones((2, 33), dtype=np.float32))
    np.testing.assert_array_equal(snapshot(tables)["items"], before["items"])


def test_other_bad_arguments():
    tables, job, _ = problem("cpu")
    rows, gradients = np.arange(2), tables.padded(np.ones((2, 33), dtype=np.float32))
    with pytest.raises(ValueError, match="table must be 'users' or 'items', got 'user'"):
        job.step("user", rows, gradients)
    with pytest.raises(ValueError, match="of 48 floats, got 1 x 48"):
        job.step("users", rows, gradients[:1])
    with pytest.raises(ValueError, match="of 48 floats, got 2 x 33"):
        job.step("users", rows, np.ones((2, 33), dtype=np.float32))
    with pytest.raises(TypeError, match="rows must have type '<i8'"):
        job.step("users", rows.astype(np.int32), gradients)
    with pytest.raises(TypeError, match="gradients must have type '<f4'"):
        job.step("users", rows, gradients.astype(np.float64))
    wide = tables.padded(np.ones((3, 33), dtype=np.float32)).ravel()
    with pytest.raises(ValueError, match="gradients must be aligned to 64 bytes"):
        job.step("users", rows, wide[1:97].reshape(2, 48))
