"""From the items that a library proposes to the n nearest, in the same way for every library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from .._threads import thread_count
from .exact import rank_proposals

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
) -> tuple[np.ndarray, np.ndarray]:
    """Find about the ``n`` nearest points; arguments and results as in `exact.nearest`.

    Each query gets n proposals and as many more as it excludes. Queries for which about as many
    are needed, up to a power of two, are searched together. If too few are proposed for a query,
    it has fewer than n results.
    """
    if len(queries) == 1:
        proposals = propose(queries, min(n + int(exclude.nnz), len(points)))
        return rank_proposals(queries, points, proposals, n, exclude)
    wanted = np.diff(exclude.indptr) + n
    rows = np.full((len(queries), n), -1, dtype=np.int64)
    distances = np.full((len(queries), n), np.inf, dtype=np.float32)
    sizes = np.ceil(np.log2(wanted))
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        for start in range(0, len(members), BLOCK_QUERIES):
            part = members[start : start + BLOCK_QUERIES]
            proposals = propose(queries[part], min(int(wanted[part].max()), len(points)))
            rows[part], distances[part] = rank_proposals(
                queries[part], points, proposals, n, exclude[part]
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
