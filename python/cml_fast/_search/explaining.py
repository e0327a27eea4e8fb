"""Distances of given pairs, the likes nearest to an item, and neighbours with the point itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._core import pair_distances
from .._validation.scalars import check_int
from .exact import rank

Found = tuple[np.ndarray, np.ndarray]


def distances(
    queries: np.ndarray, points: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return the distance of each pair, float32; one row or column goes with all of the others."""
    rows, columns = np.broadcast_arrays(rows, columns)
    return pair_distances(queries, points, rows, columns)


def nearest_of(points: np.ndarray, point: np.ndarray, some: np.ndarray, n: int | None) -> Found:
    """Return the ``n`` of some points, or all of them, that are nearest to one: rows, distances."""
    n = len(some) if n is None else min(check_int("n", n, 1), len(some))
    rows = np.zeros(len(some), dtype=np.int64)
    lengths = pair_distances(points[point], points, rows, some)
    found, ranked = rank(rows, some, lengths, 1, n)
    return found[0], ranked[0]


def with_self(find: Callable[[int], Found], rows: np.ndarray, n: int, include: bool) -> Found:
    """Return ``n`` neighbours of each of some points, the first of them itself if ``include``.

    ``find`` finds so many without the points themselves.
    """
    if not include:
        return find(n)
    itself = rows[:, None], np.zeros((len(rows), 1), dtype=np.float32)
    if n == 1:
        return itself
    others = find(n - 1)
    return np.hstack([itself[0], others[0]]), np.hstack([itself[1], others[1]])
