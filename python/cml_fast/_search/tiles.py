"""Which points can be among the n nearest of many queries, in one matrix product.

Scores |v|^2 - 2 u.v order the points v by their distance to the query u. A sample of the points
bounds the n-th smallest score of a query from above, and the points that are not above the bound
are the candidates. Two more columns take the comparison into the matrix product:

    [-2 u, 1, -bound] . [v, |v|^2, 1] = score - bound,

so that a candidate is what is not positive. The product is computed in tiles that stay in the
cache of a core, and the test of a tile costs a fraction of its product.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import scipy.sparse as sp

# Queries and points of a tile: 1 MiB of scores.
TILE_QUERIES = 256
TILE_POINTS = 1024
# Every stride-th point is in the sample. With p points, the sample of a query costs p / stride, and
# lets through about n x stride candidates: 4 stride = sqrt(p / n) balances the two, as measured.
BALANCE = 4
# A sample of more than one in so many points is not worth it.
LEAST_STRIDE = 4
# So many candidates of a tile's queries are held (20 bytes each). Only where thousands of points
# are at the same distance there are more, and `candidates` leaves these queries to others.
MOST_CANDIDATES = 1 << 22


def sampling_stride(n_points: int, n: int) -> int | None:
    """Return which points to sample, every so-many-th; None if tiles would not pay."""
    stride = isqrt(n_points // n) // BALANCE
    return stride if stride >= LEAST_STRIDE else None


class Tiles:
    """Points prepared for `candidates`.

    Parameters
    ----------
    points : numpy.ndarray, (p, r), float32
    norms : numpy.ndarray, (p,), float32
        Their squared lengths.
    stride : int
        See `sampling_stride`.
    """

    def __init__(self, points: np.ndarray, norms: np.ndarray, stride: int) -> None:
        ones = np.ones(len(points), dtype=np.float32)
        self._points = np.column_stack([points, norms, ones])
        self._stride = stride
        self._sample = np.ascontiguousarray(self._points[::stride])

    def candidates(
        self, queries: np.ndarray, n: int, slack: np.ndarray, exclude: sp.csr_array
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all pairs that can belong to the n nearest of up to TILE_QUERIES queries.

        Parameters
        ----------
        queries : numpy.ndarray, (m, r), float32
        n : int
            At most the size of the sample.
        slack : numpy.ndarray, (m,), float32
            See `exact.rounding_slack`.
        exclude : scipy.sparse.csr_array, (m, p)
            Pairs that may not be found.

        Returns
        -------
        rows, columns : numpy.ndarray, int64
            The candidates, ordered by row, then by column.
        unbounded : numpy.ndarray, (m,), bool
            Queries that have no candidates here, because the sample has fewer than n points for
            them, or because there are too many.
        """
        m = len(queries)
        pairs = np.repeat(np.arange(m), np.diff(exclude.indptr)), exclude.indices.astype(np.int64)
        left = np.column_stack([-2 * queries, np.ones((m, 2), dtype=np.float32)])
        # Numbers are finite, but BLAS may compute with others in lanes that it discards.
        with np.errstate(invalid="ignore", over="ignore"):
            return self._found(left, n, slack, pairs)

    def _found(
        self, left: np.ndarray, n: int, slack: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bounds = self._bounds(left, n, pairs) + slack
        unbounded = np.isinf(bounds)
        left[:, -1] = np.where(unbounded, np.float32(np.finfo(np.float32).max), -bounds)
        found = self._not_positive(left)
        if found is None:
            none = np.zeros(0, dtype=np.int64)
            return none, none, np.ones(len(left), dtype=bool)
        rows, columns, scores = found
        kept = not_among(rows, columns, pairs, len(self._points))
        rows, columns, scores = rows[kept], columns[kept], scores[kept]
        # Of those that the sample let through, the n-th smallest score is a tighter bound.
        tighter = _nth_of_each(rows, scores, n, len(left)) + slack
        kept = scores <= tighter[rows]
        return rows[kept], columns[kept], unbounded

    def _bounds(
        self, left: np.ndarray, n: int, excluded: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Return the n-th smallest score of each query in the sample; infinite if there is none."""
        scores = left[:, :-1] @ self._sample[:, :-1].T
        rows, columns = excluded
        sampled = columns % self._stride == 0
        scores[rows[sampled], columns[sampled] // self._stride] = np.inf
        bounds: np.ndarray = np.partition(scores, n - 1, axis=1)[:, n - 1]
        return bounds

    def _not_positive(self, left: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return the rows, columns and values of the product that are at most 0, ordered.

        Return None if there are more than MOST_CANDIDATES.
        """
        m, p, n_found = len(left), len(self._points), 0
        product = np.empty((m, TILE_POINTS), dtype=np.float32)
        is_small = np.empty(m * TILE_POINTS, dtype=bool)
        places, values = [], []
        for begin in range(0, p, TILE_POINTS):
            points = self._points[begin : begin + TILE_POINTS]
            if len(points) < TILE_POINTS:  # the last tile: what fills it up is no candidate
                filler = np.zeros((TILE_POINTS, points.shape[1]), dtype=np.float32)
                filler[: len(points)] = points
                filler[len(points) :, -2] = np.inf
                points = filler
            np.matmul(left, points.T, out=product)
            flat = product.ravel()
            found = np.flatnonzero(np.less_equal(flat, 0, out=is_small))
            values.append(flat[found])
            n_found += len(found)
            if n_found > MOST_CANDIDATES:
                return None
            places.append(found + begin * m)  # tiles before this one have begin * m entries
        place, value = np.concatenate(places), np.concatenate(values)
        tile, within = np.divmod(place, m * TILE_POINTS)
        row, column = np.divmod(within, TILE_POINTS)
        column += tile * TILE_POINTS
        # Stable: the columns of a row come in the order of the tiles already.
        order = np.argsort(row.astype(np.int16), kind="stable")
        return row[order], column[order], value[order]


def not_among(
    rows: np.ndarray, columns: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], p: int
) -> np.ndarray:
    """Return which (row, column) are not among some pairs, bool."""
    keys = rows * p + columns
    left_out = np.sort(pairs[0] * p + pairs[1])
    if not left_out.size:
        return np.ones(len(keys), dtype=bool)
    at = np.minimum(np.searchsorted(left_out, keys), len(left_out) - 1)
    kept: np.ndarray = left_out[at] != keys
    return kept


def _nth_of_each(rows: np.ndarray, values: np.ndarray, n: int, m: int) -> np.ndarray:
    """Return the n-th smallest value of each of m rows, infinite where there are fewer."""
    counts = np.bincount(rows, minlength=m)
    width = max(n, int(counts.max(initial=0)))
    filled = np.full((m, width), np.inf, dtype=np.float32)
    filled[np.arange(width) < counts[:, None]] = values
    nth: np.ndarray = np.partition(filled, n - 1, axis=1)[:, n - 1]
    return nth
