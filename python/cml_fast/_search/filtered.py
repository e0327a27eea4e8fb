"""Searches with filters, exact and approximate: n results wherever there are n."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import scipy.sparse as sp

from .._core import pair_distances
from .exact import nearest, rank
from .filters import Filters, group_limit
from .popular import first_of_order

Found = tuple[np.ndarray, np.ndarray]
# Rows and distances of the nearest points; arguments as those of `exact.nearest`.
Nearest = Callable[[np.ndarray, np.ndarray, int, sp.csr_array], Found]
# Finds so many for some of the queries, by their numbers.
Find = Callable[[np.ndarray, int], Found]

# An index is asked for so many times what would be enough if the filters left out points at random.
SURPLUS = 3
# Beyond this share of all points, exact search among those that are allowed is faster.
MOST_OF_INDEX = 0.05
# How many more are looked at for queries with too few because of groups.
GROWTH = 4
# Results (16 bytes each) that a search for more may hold.
RESULTS = 1 << 22


def search(
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    filters: Filters,
    approximate: Callable[[np.ndarray, int, sp.csr_array], Found] | None = None,
    exact: Nearest = nearest,
) -> Found:
    """Find the ``n`` points nearest to each query that the filters allow.

    Parameters
    ----------
    queries, points : numpy.ndarray, (m, r) and (p, r), float32
    n : int
    filters : Filters
    approximate : function of queries, n and exclude, optional
        Searches an index of the points. Queries for which it has too few are searched exactly.
    exact : function of queries, points, n and exclude
        `exact.nearest`, or the same on another device.

    Returns
    -------
    rows, distances : numpy.ndarray, (m, n)
        As of `exact.nearest`.
    """

    def find(some: np.ndarray, k: int) -> Found:
        every = len(some) == len(queries)
        own, left = (queries, filters) if every else (queries[some], filters.of(some))
        if left.candidates is not None:
            rows, columns = left.pairs()
            return rank(rows, columns, pair_distances(own, points, rows, columns), len(own), k)
        if approximate is not None:
            return _from_index(own, points, k, left, approximate, exact)
        return _exactly(own, points, k, left, exact)

    return _grouped(find, n, filters)


def popular(counts: np.ndarray, n: int, filters: Filters) -> np.ndarray:
    """Return the ``n`` points with the most likes that the filters allow, for each query: (m, n).

    ``counts`` are the likes of each point. Equally popular ones come by row number; -1 stands where
    there are no more.
    """
    order = np.argsort(-counts, kind="stable")
    places = np.empty(len(order))
    places[order] = np.arange(len(order))

    def find(some: np.ndarray, k: int) -> Found:
        left = filters.of(some)
        if left.candidates is not None:
            rows, columns = left.pairs()
            return rank(rows, columns, places[columns], len(some), k)
        among = order if left.allowed is None else order[left.allowed[order]]
        rows = first_of_order(np.broadcast_to(among, (len(some), len(among))), k, left.exclude)
        return rows, np.where(rows < 0, np.inf, places[rows])

    return _grouped(find, n, filters)[0]


def _exactly(
    queries: np.ndarray, points: np.ndarray, n: int, filters: Filters, exact: Nearest
) -> Found:
    if filters.allowed is None:
        return exact(queries, points, n, filters.exclude)
    kept = np.flatnonzero(filters.allowed)
    rows, distances = exact(queries, points[kept], n, filters.exclude[:, kept])
    return np.where(rows < 0, -1, kept[rows]), distances


def _from_index(
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    filters: Filters,
    approximate: Callable[[np.ndarray, int, sp.csr_array], Found],
    exact: Nearest,
) -> Found:
    """Ask an index, for more where points are left out, and search exactly where it has too few."""
    asked = n
    if filters.allowed is not None:
        share = np.count_nonzero(filters.allowed) / len(points)
        asked = min(ceil(SURPLUS * n / share), len(points)) if share < 1 else n
        if asked > max(n, MOST_OF_INDEX * len(points)):
            return _exactly(queries, points, n, filters, exact)
    rows, distances = approximate(queries, asked, filters.exclude)
    if filters.allowed is not None:
        rows, distances = _first((rows >= 0) & filters.allowed[rows], (rows, distances), n)
    if (rows[:, -1:] >= 0).all():
        return rows, distances
    short = np.flatnonzero((rows >= 0).sum(axis=1) < np.minimum(n, filters.n_left()))
    if short.size:
        rows[short], distances[short] = _exactly(
            queries[short], points, n, filters.of(short), exact
        )
    return rows, distances


def _grouped(find: Find, n: int, filters: Filters) -> Found:
    """Find ``n`` for each query, of each group at most so many, by looking at more if needed."""
    m = filters.exclude.shape[0]
    if filters.groups is None or m == 0:
        return find(np.arange(m), n)
    found = np.full((m, n), -1, dtype=np.int64)
    distances = np.full((m, n), np.inf, dtype=np.float32)
    most = min(n, group_limit(filters))
    n_left = filters.n_left()
    rest, width = np.arange(m), n * GROWTH
    while rest.size:
        width = min(width, max(n, int(n_left[rest].max())))
        unfinished = []
        step = max(1, RESULTS // width)
        for some in np.split(rest, range(step, len(rest), step)):
            rows, lengths = find(some, width)
            kept = _within_limit(rows, filters.groups, filters.max_per_group)
            found[some], distances[some] = _first(kept, (rows, lengths), n)
            unfinished.append(some[(kept.sum(axis=1) < most) & (n_left[some] > width)])
        rest, width = np.concatenate(unfinished), width * GROWTH
    return found, distances


def _within_limit(rows: np.ndarray, groups: np.ndarray, limit: int) -> np.ndarray:
    """Return which results are among the first so many of their group in a row, bool."""
    m, width = rows.shape
    there = rows >= 0
    codes = np.where(there, groups[rows], -1)
    n_codes = int(groups.max(initial=-1)) + 2
    keys = (np.arange(m)[:, None] * n_codes + codes + 1).ravel()
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.empty(m * width, dtype=np.int64)
    place[order] = np.arange(m * width) - np.repeat(starts, np.diff(np.append(starts, m * width)))
    kept: np.ndarray = there & ((codes < 0) | (place.reshape(m, width) < limit))
    return kept


def _first(kept: np.ndarray, found: Found, n: int) -> Found:
    """Return the first ``n`` results of each row that are kept, padded with -1 and +inf."""
    order = np.argsort(~kept, axis=1, kind="stable")[:, :n]
    kept, rows, distances = (np.take_along_axis(array, order, axis=1) for array in (kept, *found))
    rows, distances = np.where(kept, rows, -1), np.where(kept, distances, np.float32(np.inf))
    pad = [(0, 0), (0, n - rows.shape[1])]
    return (
        np.pad(rows, pad, constant_values=-1),
        np.pad(distances, pad, constant_values=np.inf),
    )
