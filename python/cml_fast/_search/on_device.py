"""Exact search with the arrays of any namespace: on a GPU with CuPy.

The device computes the scores and finds the few candidates of each query, as `exact` does; their
distances are computed by the CPU. So the results are those of `exact.nearest`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .exact import GROUPS_PER_NEIGHBOR, pair_distances, rank, rounding_slack, squared_lengths
from .tiles import not_among

# Scores held on the device at once; a block has at least one row.
BLOCK_BYTES = 1 << 30


def nearest_with(
    xp: Any, queries: np.ndarray, points: np.ndarray, n: int, exclude: sp.csr_array
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``n`` points nearest to each query.

    ``xp`` is numpy, cupy or another namespace of arrays. Other arguments and the results are those
    of `exact.nearest`.
    """
    m, p = len(queries), len(points)
    found = np.full((m, n), -1, dtype=np.int64)
    distances = np.full((m, n), np.inf, dtype=np.float32)
    if m == 0 or p == 0:
        return found, distances
    wanted = min(n, p)
    norms = squared_lengths(points)
    slack = rounding_slack(queries, norms)
    on_device = xp.asarray(points), xp.asarray(norms)
    step = max(1, BLOCK_BYTES // (4 * p))
    for start in range(0, m, step):
        part = slice(start, min(start + step, m))
        own = exclude[part]
        rows, columns = _candidates(xp, queries[part], *on_device, wanted, slack[part], own)
        lengths = pair_distances(queries[part], points, rows, columns)
        found[part, :wanted], distances[part, :wanted] = rank(
            rows, columns, lengths, own.shape[0], wanted
        )
    return found, distances


def _candidates(
    xp: Any,
    queries: np.ndarray,
    points: Any,
    norms: Any,
    n: int,
    slack: np.ndarray,
    exclude: sp.csr_array,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows, columns) of all points that can be among the n nearest, see `exact`."""
    m, p = len(queries), points.shape[0]
    with np.errstate(invalid="ignore", over="ignore"):
        scores = xp.matmul(xp.asarray(-2 * queries), points.T) + norms
    # Excluded points are scored like all others; if a query excludes e of them, the n-th of the
    # rest is among the first n + e.
    ranks = np.minimum(n + np.diff(exclude.indptr).astype(np.int64), p)
    size = max(1, p // (GROUPS_PER_NEIGHBOR * int(ranks.max())))
    groups = p // size
    smallest = xp.min(xp.reshape(scores[:, : size * groups], (m, size, groups)), axis=1)
    bound = xp.take_along_axis(
        xp.sort(smallest, axis=1), xp.asarray(ranks.reshape(m, 1) - 1), axis=1
    )
    found = xp.nonzero(scores <= bound + xp.asarray(slack.reshape(m, 1)))
    # CuPy copies to the host only when asked by this name.
    on_host = [each.get() if hasattr(each, "get") else np.asarray(each) for each in found]
    rows, columns = (each.astype(np.int64) for each in on_host)
    excluded = np.repeat(np.arange(m), np.diff(exclude.indptr)), exclude.indices.astype(np.int64)
    kept = not_among(rows, columns, excluded, p)
    return rows[kept], columns[kept]
