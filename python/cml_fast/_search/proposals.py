"""From the items that a library proposes to the n nearest, in the same way for every library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from .._threads import thread_count
from . import exact

INT32_MAX = 2**31 - 1  # parameters of the libraries are C ints

# Takes queries (m, r) and a number k; returns up to k row numbers for each query, -1 for none.
Propose = Callable[[np.ndarray, int], np.ndarray]

# Queries that are searched together; it bounds the memory that their proposals take.
BLOCK_QUERIES = 4096


def nearest_of_proposed(
    propose: Propose,
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    exclude: sp.csr_array,
    n_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find about the ``n`` nearest points; arguments and results as in `exact.nearest`.

    Each query gets n proposals and as many more as it excludes. Queries for which about as many
    are needed, up to a power of two, are searched together. A query that ends up with fewer than
    n points although there are more is searched exactly, so that n are found wherever there are n.
    """
    if len(queries) == 1:
        fetched = n + int(exclude.nnz)
        return _one_block(propose, queries, points, n, exclude, fetched, n_threads)
    wanted = np.diff(exclude.indptr) + n
    rows = np.full((len(queries), n), -1, dtype=np.int64)
    distances = np.full((len(queries), n), np.inf, dtype=np.float32)
    sizes = np.ceil(np.log2(wanted))
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        for start in range(0, len(members), BLOCK_QUERIES):
            part = members[start : start + BLOCK_QUERIES]
            rows[part], distances[part] = _one_block(
                propose,
                queries[part],
                points,
                n,
                exclude[part],
                int(wanted[part].max()),
                n_threads,
            )
    return rows, distances


def rising(least: int, most: int) -> list[int]:
    """Return values of an option from ``least`` to ``most``, each about 1.4 times the last."""
    values = [least]
    while values[-1] < most:
        values.append(min(most, max(values[-1] + 1, round(values[-1] * 2**0.5))))
    return values


def check_threads(n_threads: int | None, n_queries: int | None = None) -> int:
    """Return the number of threads to use: by default all usable cores, but one for one query."""
    return 1 if n_threads is None and n_queries == 1 else thread_count(n_threads)


def _one_block(
    propose: Propose,
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    exclude: sp.csr_array,
    fetched: int,
    n_threads: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    proposals = propose(queries, min(fetched, len(points)))
    rows, distances = exact.rank_proposals(queries, points, proposals, n, exclude)
    if (rows[:, -1] >= 0).all():
        return rows, distances
    available = np.minimum(n, len(points) - np.diff(exclude.indptr))
    short = np.flatnonzero((rows >= 0).sum(axis=1) < available)
    if short.size:
        rows[short], distances[short] = exact.nearest(
            queries[short], points, n, exclude[short], n_threads
        )
    return rows, distances
