"""Products of bfloat16 on the emulated CUDA device, which adds up as the CPU does: the same bits.

test_tile.py compares the CPU with the oracle. A GPU adds up in an order of its own.
"""

import ctypes
import itertools

import numpy as np
import pytest
from oracle.losses import TILE_LOSSES
from support.kernels import digest, make_job, mostly_slow, snapshot
from test_tile_emulated import assert_same_as_cpu, problem, train, wide_bound  # noqa: F401

from cml_fast import _core

PRECISION = {"precision": "bfloat16"}


@pytest.mark.parametrize("n_dims", [1, 31, 33, 100, 1024, 1500])
def test_rows_of_any_length(emulator, n_dims):
    changes = {"n_users": 6, "n_items": 30, "batch_size": 40, "n_dims": n_dims}
    assert_same_as_cpu("emulated", loss="softmax", **changes, **PRECISION)


@pytest.mark.parametrize("loss", TILE_LOSSES)
@pytest.mark.parametrize(
    ("n_negatives", "tile_size"),
    mostly_slow([(7, 33)], [(1, 1), *itertools.product([7, 33, 256], [33, 128])]),
)
def test_any_number_of_negatives_and_pairs(emulator, loss, n_negatives, tile_size):
    changes = {"n_users": 8, "n_items": 60, "n_negatives": n_negatives, "tile_size": tile_size}
    assert_same_as_cpu("emulated", loss=loss, n_dims=70, batch_size=640, **changes, **PRECISION)


@pytest.mark.parametrize("batch_size", [0, 90])
def test_any_order_and_grid(emulator, batch_size):
    """In asynchronous training only a single warp repeats itself."""
    grids = [{"grid": (5, 2), "teams": teams} for teams in (1, 2, 5)] if batch_size else [{}]
    for grid in grids:
        emulation = {"order": "shuffled", "seed": 1, **grid}
        changes = {"n_users": 12, "n_items": 30, "n_dims": 33, "batch_size": batch_size}
        assert_same_as_cpu("emulated", emulation, loss="softmax", **changes, **PRECISION)


def test_it_is_not_float32(emulator):
    changes = {"loss": "softmax", "n_users": 8, "n_items": 30, "batch_size": 40}
    assert train("emulated", **changes, **PRECISION)[0] != train("emulated", **changes)[0]


@pytest.mark.parametrize("n_dims", [31, 100, 300])
def test_a_gpu_repeats_itself_and_is_near_the_cpu(cuda_device, n_dims):
    if cuda_device == "cuda" and (lacking := _core.cuda_bfloat16_problem()):
        pytest.skip(lacking)
    changes = {"loss": "softmax", "n_users": 8, "n_items": 30, "batch_size": 40, "n_dims": n_dims}

    def trained(device):
        tables, likes, chosen = problem(device, **changes, **PRECISION)
        make_job(tables, likes, chosen).run(0, 2 * likes.nnz)
        return snapshot(tables)

    expected, found = trained("cpu"), trained(cuda_device)
    assert digest(found) == digest(trained(cuda_device))
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-4)


def test_kernels_for_older_gpus_do_not_have_it(emulator):
    emulator.emulator_bfloat16_problem.restype = ctypes.c_char_p
    assert emulator.emulator_bfloat16_problem(80) == b""
    problem = emulator.emulator_bfloat16_problem(75).decode()
    assert problem.endswith("those for this GPU were compiled for 7.5")


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e35])
def test_a_batch_with_a_bad_row_changes_nothing(emulator, bad):
    """Of a value above 2^111, what is rounded is not a number."""
    tables, likes, chosen = problem("emulated", loss="softmax", batch_size=70, **PRECISION)
    tables.arrays["items"][::2, 0] = bad
    before = digest(snapshot(tables))
    counters = make_job(tables, likes, chosen).run(0, likes.nnz)
    assert counters.first_non_finite in (0, 20, 40, 60)
    assert digest(snapshot(tables)) == before
