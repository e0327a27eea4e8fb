"""Exact search against a full sort of scipy's distances."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cml_fast._search import exact, tiles
from cml_fast._search.exact import nearest


def reference(queries, points, n, exclude):
    """Sort all float32 distances, equal ones by row number."""
    distances = cdist(queries.astype(float), points.astype(float)).astype(np.float32)
    distances[exclude.toarray() != 0] = np.inf
    rows = np.argsort(distances, axis=1, kind="stable")
    distances = np.take_along_axis(distances, rows, axis=1)
    rows[np.isinf(distances)] = -1
    pad = ((0, 0), (0, max(0, n - len(points))))
    return (
        np.pad(rows, pad, constant_values=-1)[:, :n],
        np.pad(distances, pad, constant_values=np.inf)[:, :n],
    )


def no_mask(queries, points):
    return sp.csr_array((len(queries), len(points)), dtype=np.float32)


def check(queries, points, n, exclude):
    """Compare what is found as usual, and what is found by tiles that are small."""
    expected_rows, expected_distances = reference(queries, points, n, exclude)
    with pytest.MonkeyPatch.context() as patch:
        for by_tiles in (False, True):
            if by_tiles:
                patch.setattr(exact, "MANY_QUERIES", 1)
                patch.setattr(exact, "TILE_QUERIES", 5)
                patch.setattr(tiles, "TILE_POINTS", 16)
                patch.setattr(tiles, "BALANCE", 1)
                patch.setattr(tiles, "LEAST_STRIDE", 1)
            rows, distances = nearest(queries, points, n, exclude)
            assert rows.dtype == np.int64 and distances.dtype == np.float32
            np.testing.assert_array_equal(rows, expected_rows)
            np.testing.assert_array_equal(distances, expected_distances)


@settings(deadline=None, max_examples=150)
@given(
    m=st.integers(1, 12),
    p=st.integers(1, 400),
    r=st.integers(1, 9),
    n=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    levels=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_full_sort(m, p, r, n, density, levels, seed):
    """Any shape, mask, and amount of ties; ``levels`` makes coordinates from a coarse grid."""
    rng = np.random.default_rng(seed)
    queries, points = rng.standard_normal((m, r)), rng.standard_normal((p, r))
    if levels:
        queries, points = np.round(queries * levels), np.round(points * levels)
    exclude = sp.csr_array((rng.random((m, p)) < density).astype(np.float32))
    check(queries.astype(np.float32), points.astype(np.float32), n, exclude)


def test_blocks_and_slices(monkeypatch):
    """Boundaries of blocks and slices fall inside the data."""
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 700 * 10)
    monkeypatch.setattr(exact, "SLICE_BYTES", 4 * 700 * 3)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((47, 5)).astype(np.float32)
    points = rng.standard_normal((700, 5)).astype(np.float32)
    exclude = sp.csr_array((rng.random((47, 700)) < 0.2).astype(np.float32))
    check(queries, points, 13, exclude)


@pytest.mark.parametrize("offset, scale", [(0, 1), (1000, 1), (0, 1e-25), (0, 1e15), (3e4, 1e-2)])
def test_rounding_of_the_product(offset, scale):
    """Far from the origin, or tiny, the scores |v|^2 - 2 u.v have few correct digits, or none."""
    rng = np.random.default_rng(1)
    queries = (offset + scale * rng.uniform(-1, 1, (20, 8))).astype(np.float32)
    points = (offset + scale * rng.uniform(-1, 1, (3000, 8))).astype(np.float32)
    check(queries, points, 10, no_mask(queries, points))


def test_queries_of_very_different_length():
    rng = np.random.default_rng(2)
    queries = (rng.standard_normal((8, 4)) * 10.0 ** np.arange(-4, 4)[:, None]).astype(np.float32)
    points = rng.standard_normal((2000, 4)).astype(np.float32)
    check(queries, points, 7, no_mask(queries, points))


def test_all_points_equal():
    queries = np.zeros((3, 4), dtype=np.float32)
    points = np.ones((500, 4), dtype=np.float32)
    rows, distances = nearest(queries, points, 5, no_mask(queries, points))
    np.testing.assert_array_equal(rows, np.tile(np.arange(5), (3, 1)))
    np.testing.assert_array_equal(distances, np.full((3, 5), 2))


def test_all_of_many_points_equal(monkeypatch):
    """There are too many candidates to hold, so that tiles give up."""
    monkeypatch.setattr(tiles, "MOST_CANDIDATES", 10_000)
    given_up = []
    original = exact._nearest_by_rows
    monkeypatch.setattr(
        exact, "_nearest_by_rows", lambda q, *rest: given_up.append(len(q)) or original(q, *rest)
    )
    queries = np.zeros((70, 4), dtype=np.float32)
    points = np.ones((5000, 4), dtype=np.float32)
    rows, _ = nearest(queries, points, 5, no_mask(queries, points))
    np.testing.assert_array_equal(rows, np.tile(np.arange(5), (70, 1)))
    assert given_up == [70]


def test_no_queries():
    points = np.ones((5, 2), dtype=np.float32)
    rows, distances = nearest(points[:0], points, 3, no_mask(points[:0], points))
    assert rows.shape == distances.shape == (0, 3)


def test_many_queries_of_many_points_by_tiles(monkeypatch):
    """As it is used: most queries by tiles, and those by rows whose sample is excluded."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((5000, 12)).astype(np.float32)
    queries = rng.standard_normal((300, 12)).astype(np.float32)
    exclude = (rng.random((300, 5000)) < 0.02).astype(np.float32)
    exclude[7] = exclude[8] = 1
    exclude[7, 1::5] = 0  # but nothing that is in the sample
    by_rows = []
    original = exact._nearest_by_rows
    monkeypatch.setattr(
        exact, "_nearest_by_rows", lambda q, *rest: by_rows.append(len(q)) or original(q, *rest)
    )
    assert tiles.sampling_stride(5000, 10) == 5
    found = nearest(queries, points, 10, sp.csr_array(exclude))
    assert by_rows == [2]
    for one, other in zip(
        found, reference(queries, points, 10, sp.csr_array(exclude)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
