"""The kernel of searches on a CUDA device, real and emulated, against a full sort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import stand_in_for_cupy
from support.emulated import ORDERS

from cml_fast import _core

# As in csrc/core/select.h.
HELD = 4096
LET_THROUGH = 1024
STRIDE = 16
LINE = 32  # scores

UNWRITTEN = -7
Select = Callable[..., "Selected"]


@dataclass
class Selected:
    """What the kernel wrote; ``columns`` of each row, ascending, None if there was no room."""

    columns: list[np.ndarray | None]
    counts: np.ndarray
    total: int
    memory: np.ndarray
    bytes_read: int  # of the scores; on the emulated device only


def padded(scores: np.ndarray) -> np.ndarray:
    """The same with infinite scores in further columns, as on_device.py has them."""
    return np.pad(scores, ((0, 0), (0, -scores.shape[1] % 4)), constant_values=np.inf)


def select_with(
    xp, cuda_select, scores, n, slack=0.0, excluded=None, room=None, **emulation
) -> Selected:
    m, p = scores.shape
    excluded = np.zeros(scores.shape, dtype=bool) if excluded is None else excluded
    indptr = np.concatenate([[0], np.cumsum(excluded.sum(axis=1))])
    room = m * p if room is None else room
    columns = xp.asarray(np.full(room, UNWRITTEN, dtype=np.int32))
    found = xp.empty(2 * m + 1, dtype=np.int64)
    bytes_read = cuda_select(
        scores=xp.asarray(padded(scores)),
        indptr=xp.asarray(indptr.astype(np.int64)),
        indices=xp.asarray(np.nonzero(excluded)[1].astype(np.int32)),
        n=n,
        slack=xp.asarray(np.broadcast_to(np.float32(slack), m).copy()),
        columns=columns,
        found=found,
        stream=stand_in_for_cupy.STREAM,
        **emulation,
    )
    numbers, memory = found.get(), columns.get()
    starts, counts = numbers[1 : m + 1], numbers[m + 1 :]
    taken = [
        np.sort(memory[start : start + count]) if start + count <= room else None
        for start, count in zip(starts, counts, strict=True)
    ]
    return Selected(taken, counts, int(numbers[0]), memory, bytes_read)


def expected_columns(scores, n, slack=0.0, excluded=None) -> list[np.ndarray]:
    scores = np.where(np.isnan(scores), np.inf, scores)
    if excluded is not None:
        scores[excluded] = np.inf
    nth = np.sort(scores, axis=1)[:, n - 1]
    with np.errstate(invalid="ignore", over="ignore"):
        limits = np.minimum(nth + np.float32(slack), np.finfo(np.float32).max)
    return [np.flatnonzero(row <= limit) for row, limit in zip(scores, limits, strict=True)]


def assert_selected(found: Selected, expected: list[np.ndarray]) -> None:
    assert found.total == found.counts.sum()
    assert found.counts.tolist() == [len(columns) for columns in expected]
    for row, columns in enumerate(expected):
        np.testing.assert_array_equal(found.columns[row], columns)


@pytest.fixture
def select(cuda_device) -> Select:
    if cuda_device == "emulated":
        return emulated_select
    import cupy

    return partial(select_with, cupy, _core.cuda_select)


def emulated_select(*args, **kwargs) -> Selected:
    return select_with(stand_in_for_cupy, stand_in_for_cupy.cuda_select, *args, **kwargs)


def some_scores(kind: str, p: int) -> np.ndarray:
    rng = np.random.default_rng(p)
    scores = rng.standard_normal((2, p)).astype(np.float32)
    if kind == "equal":
        scores[:] = scores[:, :1]
    elif kind == "ties":
        scores = np.round(scores * 3)
    elif kind == "zeros of both signs":
        scores = np.where(scores < 0, np.float32(-0.0), np.float32(0.0))
    elif kind == "infinite":
        scores[scores > 1] = np.inf
        scores[scores < -2.5] = -np.inf
    elif kind == "NaN of both signs":
        bits = scores.view(np.uint32)
        bits[scores > 1] = 0x7FC00000
        bits[scores < -1] = 0xFFC00001
    elif kind == "descending":
        scores = -np.sort(-scores, axis=1)
    elif kind == "subnormal":
        scores *= np.float32(1e-41)
    elif kind == "huge":
        scores *= np.float32(5e37)
    return scores


# --- against a full sort ----------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 31, 33, 1000, 4095, 4097, 20_000])
@pytest.mark.parametrize(
    "kind",
    [
        *("any", "equal", "ties", "zeros of both signs", "infinite", "NaN of both signs"),
        *("subnormal", "huge"),
    ],
)
def test_the_n_smallest(select, kind, p):
    scores = some_scores(kind, p)
    for n in sorted({1, 10, 700, LET_THROUGH, LET_THROUGH + 1, p}):
        if n <= p:
            assert_selected(select(scores, n), expected_columns(scores, n))


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    m=st.integers(1, 4),
    p=st.integers(1, 9000),
    n=st.integers(1, 9000),
    levels=st.sampled_from([0, 1, 30]),
    density=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    slack=st.sampled_from([0.0, 1e-6, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_row(emulator, m, p, n, levels, density, slack, seed):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((m, p)).astype(np.float32)
    if levels:
        scores = np.round(scores * levels)
    excluded = rng.random((m, p)) < density
    found = emulated_select(scores, min(n, p), slack, excluded)
    assert_selected(found, expected_columns(scores, min(n, p), slack, excluded))


@pytest.mark.parametrize("p", [200, 6000])
def test_rows_with_few_scores_left(select, p):
    """Fewer than n are selected, or none."""
    scores = some_scores("any", p)
    excluded = np.ones(scores.shape, dtype=bool)
    excluded[0, [3, p // 2, p - 1]] = False
    scores[0, [3, p // 2, p - 1]] = -3e38, 0, 3e38
    found = select(scores, 5, 0.1, excluded)
    assert_selected(found, [np.array([3, p // 2, p - 1]), np.array([], dtype=int)])


def test_the_slack_of_each_row(select):
    scores = np.tile(np.arange(8000, dtype=np.float32), (3, 1))
    slack = np.array([0, 0.5, 100], dtype=np.float32)
    found = select(scores, 10, slack)
    assert found.counts.tolist() == [10, 10, 110]


@pytest.mark.parametrize("n", [1, 64, 500])
def test_a_sample_that_misleads(select, n):
    """All that is sampled is far: what its bound lets through is too much to hold."""
    scores = some_scores("any", 20_000)
    stride = min(STRIDE, LET_THROUGH // n)
    sampled = np.arange(scores.shape[1]) // LINE % stride == 0
    scores[:, sampled] += 100
    assert (scores < scores[:, sampled].min()).sum(axis=1).min() > HELD
    assert_selected(select(scores, n), expected_columns(scores, n))


@pytest.mark.parametrize(
    ("kind", "p", "n", "reads"),
    [
        ("any", 4000, 700, 1),  # held from the beginning
        ("any", 100_000, 10, 1 + 1 / STRIDE),
        ("descending", 100_000, 10, 1 + 1 / STRIDE),  # which is from all parts of the row
        ("any", 100_000, 64, 1 + 1 / STRIDE),
        ("any", 100_000, 256, 1 + 1 / 4),
        ("any", 100_000, LET_THROUGH, 1 + 1),
        ("any", 100_000, LET_THROUGH + 1, 3 + 1),  # three digits
        ("any", 100_000, 50_000, 3 + 1 + 1),
        ("equal", 100_000, 10, 1 / STRIDE + 1 + 3 + 1 + 1),  # the sample is of no use
    ],
)
def test_how_often_a_row_is_read(emulator, kind, p, n, reads):
    """As the comment in csrc/core/select.h says: once, but for a sample, if n is small."""
    scores = some_scores(kind, p)
    found = emulated_select(scores, n)
    assert_selected(found, expected_columns(scores, n))
    assert found.bytes_read == pytest.approx(scores.nbytes * reads, rel=1e-3)


def test_neither_lanes_nor_warps_have_an_order(emulator):
    scores = some_scores("ties", 9000)
    for n in (10, 2000):
        expected = expected_columns(scores, n)
        for order in ORDERS:
            for seed in (0, 1, 2):
                assert_selected(emulated_select(scores, n, order=order, seed=seed), expected)


# --- room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, LET_THROUGH + 1])
def test_too_little_room(select, n):
    """Nothing is written beyond it; what did not fit is counted."""
    scores = some_scores("any", 9000)
    scores[1] = 1
    expected = expected_columns(scores, n)
    found = select(scores, n, room=n + 5)
    assert found.total == sum(map(len, expected)) == n + 9000
    assert found.counts.tolist() == [n, 9000]
    if found.columns[0] is not None:  # else the other row was first
        np.testing.assert_array_equal(found.columns[0], expected[0])
    assert found.columns[1] is None
    assert (found.memory == UNWRITTEN).sum() == (5 if found.columns[0] is not None else n + 5)


def test_exactly_enough_room(select):
    scores = some_scores("equal", 5000)
    found = select(scores, 3, room=10_000)
    assert_selected(found, [np.arange(5000)] * 2)


# --- arguments of _core.cuda_select -----------------------------------------------------------


def cuda_array(*shape: int, type: str = "<f4", at: int = 1 << 20) -> SimpleNamespace:
    interface = {"typestr": type, "shape": shape, "data": (at, False), "version": 3}
    return SimpleNamespace(__cuda_array_interface__=interface)


@pytest.mark.skipif(not _core.build_info()["cuda"]["built"], reason="built without CUDA")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scores": np.zeros((2, 8))}, TypeError, r"scores must be a CUDA \(CuPy\) array, got"),
        ({"scores": cuda_array(2, 8, type="<f8")}, TypeError, "scores must have type '<f4'"),
        ({"scores": cuda_array(0, 8)}, ValueError, r"1 to 2\*\*31 - 1 rows, got 0"),
        ({"scores": cuda_array(2, 6)}, ValueError, "a multiple of 4 columns, .*, got 6"),
        ({"scores": cuda_array(2, 2**31 + 4)}, ValueError, r"at most 2\*\*31, got 2147483652"),
        ({"n": 0}, ValueError, "n must be between 1 and 8, got 0"),
        ({"n": 9}, ValueError, "n must be between 1 and 8, got 9"),
        ({"scores": cuda_array(2, 8, at=8)}, ValueError, "scores must be aligned to 16 bytes"),
        ({"found": cuda_array(4, type="<i8")}, ValueError, "found must have 5 entries, got 4"),
    ],
)
def test_arguments_that_are_refused(changes, error, message):
    arguments = {
        "scores": cuda_array(2, 8),
        "indptr": cuda_array(3, type="<i8"),
        "indices": cuda_array(0, type="<i4"),
        "n": 2,
        "slack": cuda_array(2),
        "columns": cuda_array(10, type="<i4"),
        "found": cuda_array(5, type="<i8"),
        "stream": 0,
    }
    with pytest.raises(error, match=message):
        _core.cuda_select(**{**arguments, **changes})
