"""Exact Euclidean nearest neighbours by brute force.

One matrix product per block of queries gives the scores |v|^2 - 2 u.v, which order the points v
by their distance to the query u, up to rounding. An upper bound of the n-th smallest score of a
row, which is cheap to compute, leaves only a few candidates more than n. Their distances are
computed directly from the differences. The bound on the rounding error is rigorous, so the result
is that of a full sort by distance, whatever the BLAS library, its number of threads or the size of
a block. For many queries among many points, `tiles` finds the candidates faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .. import _core
from .._core import pair_distances
from .._threads import blas_threads, map_in_threads, thread_count
from .tiles import TILE_QUERIES, Tiles, sampling_stride

# So many queries pay for the copy of the points that `tiles` makes.
MANY_QUERIES = 64
# Scores held at once; a block has at least one row, so 4 bytes x points if that is more.
BLOCK_BYTES = 64 << 20
# Scores that one thread works through at a time: small enough to stay in its cache.
SLICE_BYTES = 2 << 20
# The bound comes from the smallest scores of this many groups of columns per neighbour wanted:
# more of them make a tighter bound, fewer a cheaper one.
GROUPS_PER_NEIGHBOR = 4


def nearest(
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    exclude: sp.csr_array,
    n_threads: int | None = None,
    norms: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``n`` points nearest to each query.

    Parameters
    ----------
    queries : numpy.ndarray, (m, r), float32
    points : numpy.ndarray, (p, r), float32
        Finite, and small enough that squared distances do not overflow float32.
    n : int
        At least 1; may exceed p.
    exclude : scipy.sparse.csr_array, (m, p)
        Its stored entries are pairs that may not be found.
    n_threads : int or None
        As for `thread_count`. The result does not depend on it.
    norms : numpy.ndarray, (p,), float32, optional
        What `squared_lengths` returns for the points. Computing them takes as long as the rest of
        a search for one query.

    Returns
    -------
    rows : numpy.ndarray, (m, n), int64
        Row numbers of the points, nearest first, equal distances by row number; -1 where a query
        has fewer than n points.
    distances : numpy.ndarray, (m, n), float32
        Euclidean distances; +inf where ``rows`` is -1.
    """
    n_threads = thread_count(n_threads)
    m, p = len(queries), len(points)
    found = np.full((m, n), -1, dtype=np.int64)
    distances = np.full((m, n), np.inf, dtype=np.float32)
    if m == 0 or p == 0:
        return found, distances
    wanted = min(n, p)
    norms = squared_lengths(points) if norms is None else norms
    slack = rounding_slack(queries, norms)
    stride = sampling_stride(p, n) if m >= MANY_QUERIES else None
    rest = np.arange(m)
    if stride is not None:
        rest = _nearest_by_tiles(
            queries,
            points,
            Tiles(points, norms, stride),
            exclude,
            slack,
            found,
            distances,
            n_threads,
        )
    if rest.size:
        every = rest.size == m
        some = (queries, exclude) if every else (queries[rest], exclude[rest])
        found[rest, :wanted], distances[rest, :wanted] = _nearest_by_rows(
            some[0], points, norms, wanted, some[1], slack[rest], n_threads
        )
    return found, distances


def _nearest_by_tiles(
    queries: np.ndarray,
    points: np.ndarray,
    tiles: Tiles,
    exclude: sp.csr_array,
    slack: np.ndarray,
    found: np.ndarray,
    distances: np.ndarray,
    n_threads: int,
) -> np.ndarray:
    """Fill ``found`` and ``distances`` and return the queries that have to be done otherwise."""
    m, n = found.shape
    step = min(TILE_QUERIES, -(-m // n_threads))

    def search(first: int) -> np.ndarray:
        part = slice(first, min(first + step, m))
        rows, columns, unbounded = tiles.candidates(queries[part], n, slack[part], exclude[part])
        lengths = pair_distances(queries[part], points, rows, columns)
        found[part], distances[part] = rank(rows, columns, lengths, len(unbounded), n)
        return first + np.flatnonzero(unbounded)

    # Small products in parallel are several times as fast if each runs on one core: the threads of
    # BLAS would wait for each other, and spin while they do.
    with blas_threads(1):
        return np.concatenate(map_in_threads(n_threads, search, range(0, m, step)))


def _nearest_by_rows(
    queries: np.ndarray,
    points: np.ndarray,
    norms: np.ndarray,
    wanted: int,
    exclude: sp.csr_array,
    slack: np.ndarray,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``wanted`` points, at most all, nearest to each query from all scores of a row."""
    m, p = len(queries), len(points)
    found = np.empty((m, wanted), dtype=np.int64)
    distances = np.empty((m, wanted), dtype=np.float32)
    block_rows = min(m, max(1, BLOCK_BYTES // (4 * p)))
    slice_rows = max(1, SLICE_BYTES // (4 * p))
    block = np.empty((block_rows, p), dtype=np.float32)

    def select(first: int, last: int, scores: np.ndarray) -> None:
        scores += norms
        bounds = exclude.indptr[first : last + 1]
        masked = np.repeat(np.arange(last - first), np.diff(bounds))
        scores[masked, exclude.indices[bounds[0] : bounds[-1]]] = np.inf
        rows, columns = _candidates(scores, wanted, slack[first:last])
        lengths = pair_distances(queries[first:last], points, rows, columns)
        found[first:last], distances[first:last] = rank(
            rows, columns, lengths, last - first, wanted
        )

    # BLAS has its own threads for the product; the selection after it is shared by others.
    with blas_threads(n_threads):
        for start in range(0, m, block_rows):
            stop = min(start + block_rows, m)
            # All numbers are finite, but BLAS may compute with others in lanes that it discards.
            with np.errstate(invalid="ignore"):
                scores = np.matmul(-2 * queries[start:stop], points.T, out=block[: stop - start])
            firsts = range(start, stop, slice_rows)
            lasts = [min(first + slice_rows, stop) for first in firsts]
            parts = [scores[a - start : b - start] for a, b in zip(firsts, lasts, strict=True)]
            map_in_threads(n_threads, select, firsts, lasts, parts)
    return found, distances


def places(
    queries: np.ndarray,
    points: np.ndarray,
    wanted: sp.csr_array,
    exclude: sp.csr_array,
    n_threads: int | None = None,
) -> np.ndarray:
    """Count how many points are nearer to a query than each wanted one.

    Points are compared by their float32 scores, so that two at nearly the same distance may be
    in either order. Neither rankings nor all scores are held in memory.

    Parameters
    ----------
    queries, points, exclude, n_threads
        As for `nearest`.
    wanted : scipy.sparse.csr_array, (m, p)
        Its stored entries are the pairs to find the places of.

    Returns
    -------
    numpy.ndarray, (wanted.nnz,), float64
        In the order of ``wanted``. A point at the same distance counts half. That of an excluded
        point is the number of points that are not excluded.
    """
    m, p = len(queries), len(points)
    found = np.empty(wanted.nnz)
    norms = squared_lengths(points)
    step = max(1, BLOCK_BYTES // (4 * p))

    def count(row: int, scores: np.ndarray) -> None:
        scores[exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]]] = np.inf
        part = slice(wanted.indptr[row], wanted.indptr[row + 1])
        values = scores[wanted.indices[part]]
        left_out = np.isinf(values)
        n_left = p - (exclude.indptr[row + 1] - exclude.indptr[row])
        found[part] = n_left
        for at in np.flatnonzero(~left_out):
            nearer = np.count_nonzero(scores < values[at])
            same = np.count_nonzero(scores == values[at]) - 1
            found[wanted.indptr[row] + at] = nearer + same / 2

    n_threads = thread_count(n_threads)
    with blas_threads(n_threads):
        for start in range(0, m, step):
            stop = min(start + step, m)
            with np.errstate(invalid="ignore"):
                scores = np.matmul(-2 * queries[start:stop], points.T)
            scores += norms
            map_in_threads(n_threads, count, range(start, stop), scores)
    return found


def squared_lengths(points: np.ndarray) -> np.ndarray:
    """Return the squared length of each point, (p,), in the type of the points."""
    norms: np.ndarray = np.einsum("ij,ij->i", points, points)
    return norms


def self_mask(rows: np.ndarray, n_points: int) -> sp.csr_array:
    """Return the ``exclude`` that leaves each point out of its own neighbours."""
    starts = np.arange(len(rows) + 1)
    return sp.csr_array((np.ones(len(rows)), rows, starts), shape=(len(rows), n_points))


def rank_proposals(
    queries: np.ndarray,
    points: np.ndarray,
    proposals: np.ndarray | Sequence[npt.ArrayLike],
    n: int,
    exclude: sp.csr_array,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank points that an approximate search proposes by their true distances.

    Parameters
    ----------
    queries, points, n, exclude
        As for `nearest`. What ``exclude`` stores is left out.
    proposals : numpy.ndarray, (m, k), int, or sequence of array_like of int, one for each query
        Row numbers of points, in any order; -1 is no proposal.

    Returns
    -------
    rows, distances : numpy.ndarray, (m, n)
        As for `nearest`, with the proposed points only.
    """
    if not isinstance(proposals, np.ndarray):
        parts = [np.asarray(proposed, dtype=np.int64) for proposed in proposals]
        proposals = np.full((len(parts), max(map(len, parts), default=0)), -1)
        for row, part in zip(proposals, parts, strict=True):
            row[: len(part)] = part
    return _core.rank_proposals(queries, points, proposals, exclude.indptr, exclude.indices, n)


def rank(
    rows: np.ndarray, columns: np.ndarray, distances: np.ndarray, m: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the n nearest of each of m rows from (row, column, distance) candidates.

    The candidates must be ordered by row, then by column. The results are (m, n), padded with -1
    and +inf.
    """
    counts = np.bincount(rows, minlength=m)
    width = max(n, int(counts.max(initial=0)))
    filled = np.arange(width) < counts[:, None]
    keys = np.full((m, width), np.inf, dtype=distances.dtype)
    keys[filled] = distances
    numbers = np.full((m, width), -1, dtype=np.int64)
    numbers[filled] = columns
    # Stable, so that equal distances stay in the order of the columns.
    order = np.argsort(keys, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(numbers, order, axis=1), np.take_along_axis(keys, order, axis=1)


def _candidates(scores: np.ndarray, n: int, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of all scores that can belong to the n smallest of their row.

    The n-th smallest of any subset of a row bounds the n-th smallest of the row from above. The
    subset taken here is the smallest score of each of a few hundred groups of columns, which is
    cheap to get and nearly tight: two of the n smallest seldom share a group.
    """
    m, p = scores.shape
    size = max(1, p // (GROUPS_PER_NEIGHBOR * n))
    groups = p // size
    smallest = scores[:, : size * groups].reshape(m, size, groups).min(axis=1)
    bound = np.partition(smallest, n - 1, axis=1)[:, n - 1]
    # A row with fewer than n scores left has an infinite bound, but no masked candidates.
    limit = np.minimum(bound + slack, np.finfo(np.float32).max)
    flat = np.flatnonzero(scores <= limit[:, None])
    rows = flat // p
    return rows, flat - rows * p


def rounding_slack(queries: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return, per query, what the scores of two equally distant points can differ by.

    A float32 sum of r products is off by at most about r eps/2 times the sum of their sizes, in
    any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and here
    that sum is at most (|u| + max |v|)^2. The bound below is more than twice that for each of two
    scores, which also covers distances that become equal when they are rounded to float32, and
    products that have a score as one more term, as in `tiles`: their sum is at most twice as large.
    """
    single = np.finfo(np.float32)
    r = queries.shape[1]
    reach = np.sqrt(np.einsum("ij,ij->i", queries, queries)) + np.sqrt(norms.max())
    slack: np.ndarray = 2 * (r + 16) * (single.eps * reach**2 + single.tiny)
    return slack
