"""The compiled ranking of what a search proposes, against NumPy."""

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import _core
from cml_fast._search.exact import rank_proposals

DIMS = (1, 7, 8, 31, 33, 100, 1024)


def some_rows(n: int, n_dims: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_dims)).astype(np.float32)


def ranked_by_sorting(queries, points, proposals, exclude, n):
    """What `rank_proposals` returns, from Python's sets and a sort."""
    found = np.full((len(queries), n), -1)
    distances = np.full((len(queries), n), np.inf, dtype=np.float32)
    for row, query in enumerate(queries):
        left_out = set(exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]].tolist())
        kept = {int(point) for point in proposals[row] if point >= 0} - left_out
        far = [np.linalg.norm(query.astype(np.float64) - points[point]) for point in sorted(kept)]
        order = np.argsort(np.array(far, dtype=np.float32), kind="stable")[:n]
        found[row, : len(order)] = np.array(sorted(kept), dtype=np.int64)[order]
        distances[row, : len(order)] = np.array(far, dtype=np.float32)[order]
    return found, distances


@pytest.mark.parametrize("n_dims", DIMS)
def test_distances_of_pairs_are_those_of_numpy(n_dims):
    queries, points = some_rows(5, n_dims, 0), some_rows(9, n_dims, 1)
    rows, columns = np.divmod(np.arange(45), 9)
    difference = queries[rows].astype(np.float64) - points[columns]
    expected = np.sqrt((difference**2).sum(axis=1))
    found = _core.pair_distances(queries, points, rows, columns)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("n_dims", DIMS)
@pytest.mark.parametrize("n", [1, 4, 30])
def test_proposals_are_ranked_as_by_sorting(n_dims, n):
    rng = np.random.default_rng(2)
    queries, points = some_rows(6, n_dims, 3), some_rows(20, n_dims, 4)
    points[11] = points[5]  # equal distances
    proposals = rng.integers(-1, 20, (6, 25))  # with repetitions, and with none
    exclude = sp.random_array((6, 20), density=0.3, rng=rng, format="csr")
    found, distances = rank_proposals(queries, points, proposals, n, exclude)
    expected = ranked_by_sorting(queries, points, proposals, exclude, n)
    np.testing.assert_array_equal(found, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-6)


def test_exclusions_in_any_order_are_left_out():
    queries, points = some_rows(1, 3, 0), some_rows(6, 3, 1)
    exclude = sp.csr_array((np.ones(3), [4, 0, 2], [0, 3]), shape=(1, 6))
    found, _ = rank_proposals(queries, points, np.arange(6)[None], 6, exclude)
    assert sorted(found[0].tolist()) == [-1, -1, -1, 1, 3, 5]


def test_proposals_of_different_numbers_for_each_query():
    queries, points = some_rows(3, 4, 0), some_rows(5, 4, 1)
    found, distances = rank_proposals(
        queries, points, [[3], [], [0, 1]], 2, sp.csr_array((3, 5), dtype=np.float32)
    )
    assert found[0].tolist() == [3, -1]
    assert found[1].tolist() == [-1, -1]
    assert sorted(found[2].tolist()) == [0, 1]
    assert np.isinf(distances[1]).all()


def test_an_unknown_point_is_refused():
    queries, points = some_rows(1, 2, 0), some_rows(3, 2, 1)
    nothing = sp.csr_array((1, 3), dtype=np.float32)
    with pytest.raises(IndexError, match="there are 3 points, got number 3"):
        rank_proposals(queries, points, np.array([[1, 3]]), 1, nothing)
    with pytest.raises(IndexError, match="there are 1 queries, got number -1"):
        _core.pair_distances(queries, points, [-1], [0])


@pytest.mark.parametrize("indptr", [[0], [0, 1], [1, 2], [0, 2, 1, 2]])
def test_exclusions_of_other_queries_are_refused(indptr):
    queries, points = some_rows(max(1, len(indptr) - 1), 2, 0), some_rows(3, 2, 1)
    proposals = np.zeros((len(queries), 1), dtype=np.int64)
    with pytest.raises(ValueError):
        _core.rank_proposals(queries, points, proposals, indptr, [0, 1], 1)
