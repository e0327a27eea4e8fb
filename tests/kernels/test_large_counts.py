"""Counts and offsets beyond 32 bits. Large arrays take memory only where they are touched."""

import mmap
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import draws
from oracle.problem import Tables
from support.emulated import EmulatedJob
from support.kernels import (
    TABLE_NAMES,
    assert_same_counters,
    assert_same_tables,
    check_against_oracle,
    larger_problem,
    make_job,
    oracle_of,
    random_tables,
    settings,
    train_oracle,
)

from cml_fast import _core
from cml_fast._compute.devices import instruction_set
from cml_fast._compute.settings import ADAGRAD_EPSILON

MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Linux; only newer Pythons name it


def lazy_zeros(shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    try:
        memory = mmap.mmap(-1, size, flags=flags)
    except (OSError, MemoryError) as error:
        pytest.skip(f"no address space for {size} bytes that stay untouched: {error}")
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def on_device(device, array, used=None):
    """The array itself, or a copy in CUDA memory of its rows ``used``, the others being zero."""
    if device != "cuda":
        return array
    import cupy

    if used is None:
        return cupy.asarray(array)
    try:
        copy = cupy.zeros(array.shape, dtype=array.dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        pytest.skip(f"not enough CUDA memory: {error}")
    copy[used] = cupy.asarray(array[used])
    return copy


def raw_job(device, arrays, chosen, n_items):
    """A job of arrays that are on the device already."""
    ranks = _core.rank_weights(n_items, chosen.n_negatives)
    if device == "emulated":
        return EmulatedJob({**arrays, "rank_weights": ranks}, chosen, 100.0)
    if device == "cpu":
        extra = {"n_threads": 1, "instruction_set": instruction_set()}
    else:
        import cupy

        extra = {"counters": cupy.zeros(_core.CUDA_COUNTERS, dtype=cupy.int64), "stream": 0}
    return _core.Job(
        device,
        **arrays,
        **extra,
        rank_weights=on_device(device, ranks),
        loss=chosen.loss,
        n_dims=chosen.n_dims,
        n_negatives=chosen.n_negatives,
        tile_size=chosen.tile_size,
        margin=chosen.margin,
        temperature=chosen.temperature,
        importance_weight=chosen.importance_weight,
        negative_weight=chosen.negative_weight,
        learning_rate=chosen.learning_rate,
        epsilon=ADAGRAD_EPSILON,
        max_norm=chosen.max_norm,
        seed=chosen.seed,
        batch_size=chosen.batch_size,
        pairs_per_part=chosen.pairs_per_part,
        precision=chosen.precision,
        largest_gradient=100.0,
    )


# --- counts -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cuda"], indirect=True)
def test_more_than_2_31_samples(device):
    """Users who like everything: every sample is counted, and nothing else is done.

    A CPU would take two minutes. What the compiler says of its code is in test_narrowing.py.
    """
    likes = sp.csr_array(np.ones((2048, 2048), dtype=np.float32))
    chosen = settings(n_dims=1, n_negatives=1)
    tables = random_tables(device, likes.shape, chosen)
    begin, n_samples = 2**33 - 12_345, 2**31 + 77
    counters = make_job(tables, likes, chosen).run(begin, begin + n_samples)
    assert counters.pairs == counters.skipped == n_samples
    assert (counters.active, counters.impostors, counters.loss) == (0, 0, 0.0)


@pytest.mark.parametrize("loss", ["warp", "softmax"])
@pytest.mark.parametrize("begin", [2**31 - 20, 2**32 - 20, 2**53 - 20])
def test_samples_far_from_the_first(kernel, begin, loss):
    check_against_oracle(larger_problem, kernel, begin, begin + 60, loss=loss)


# --- offsets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 100, 1000, 2**31 + 9])
def test_the_inverse_used_below(n):
    for pair in range(max(0, n - 100), n):
        position = draws.position_of(pair, n, 5, 6)
        assert draws.sample_order(n, 5, 6, position) == pair


@pytest.mark.parametrize("offset", [2**31 + 5, 2**32 + 5])
def test_pairs_beyond_32_bits(kernel, offset):
    """User 0 has an impossible row of billions of pairs; user 1's row lies behind it."""
    row = np.array([1, 3, 4, 8], dtype=np.int32)
    n, n_items = offset + len(row), 30
    indices, weights = lazy_zeros(n, np.int32), lazy_zeros(n, np.float32)
    indices[offset:] = row
    weights[offset:] = 1.5, 2.0, 0.5, 1.0
    likes = SimpleNamespace(
        nnz=n,
        shape=(2, n_items),
        indptr=np.array([0, offset, n], dtype=np.int64),
        indices=indices,
        data=weights,
    )
    chosen = settings(margin=1.0)
    tables = random_tables(kernel, likes.shape, chosen)
    oracle = oracle_of(tables)
    used = slice(offset, n)
    arrays = {
        **tables.arrays,
        "indptr": on_device(kernel, likes.indptr),
        "indices": on_device(kernel, indices, used),
        "weights": on_device(kernel, weights, used),
    }
    job = raw_job(kernel, arrays, chosen, n_items)
    for epoch, pair in [(0, offset), (3, offset + 1), (3, n - 1), (2**20, offset + 2)]:
        sample = epoch * n + draws.position_of(pair, n, chosen.seed, epoch)
        counters = job.run(sample, sample + 1)
        expected = train_oracle(oracle, likes, sample, sample + 1, chosen)
        assert expected["active"] == 1
        assert_same_counters(counters, expected)
        assert_same_tables(tables, oracle)


def test_rows_beyond_32_bits(job_device, monkeypatch):
    """Tables of more than 2^32 floats: the rows at their end are used, and a few negatives."""
    n_dims = _core.MAX_DIMS
    last = 2**32 // n_dims + 5
    shape = (last + 1, last + 1)
    liked = [last - 4, last]
    indptr = np.zeros(last + 2, dtype=np.int64)
    indptr[-1] = 2
    likes = sp.csr_array((np.ones(2, np.float32), np.array(liked, np.int32), indptr), shape=shape)
    arrays = {name: lazy_zeros((last + 1, n_dims), np.float32) for name in TABLE_NAMES}
    oracle = Tables(*(lazy_zeros((last + 1, n_dims), np.float32) for _ in TABLE_NAMES))
    rng = np.random.default_rng(0)
    for name, row in (("users", last), ("items", liked[0]), ("items", liked[1])):
        vector = rng.standard_normal(n_dims, dtype=np.float32) / 50
        arrays[name][row] = getattr(oracle, name)[row] = vector

    chosen = settings(n_dims=n_dims, n_negatives=2)
    tables = {
        name: on_device(job_device, array, [last] if "user" in name else liked)
        for name, array in arrays.items()
    }
    csr = {"indptr": indptr, "indices": likes.indices.astype(np.int32)}
    csr = {name: on_device(job_device, array) for name, array in csr.items()}
    counters = raw_job(job_device, {**tables, **csr, "weights": None}, chosen, last + 1).run(0, 2)

    negatives = []
    draw = draws.draw_negatives

    def draw_and_note(*arguments):
        negatives.extend(draw(*arguments).tolist())
        return np.array(negatives[-2:])

    monkeypatch.setattr(draws, "draw_negatives", draw_and_note)
    expected = train_oracle(oracle, likes, 0, 2, chosen)
    assert expected["active"] == 2
    assert_same_counters(counters, expected)
    for name, table in tables.items():
        for row in [last] if "user" in name else [*liked, *negatives]:
            got = table[row] if job_device != "cuda" else table[row].get()
            np.testing.assert_array_equal(got, getattr(oracle, name)[row], f"{name} {row}")
