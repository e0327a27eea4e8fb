"""Exact search on a CUDA device, with CuPy.

The device computes the scores |v|^2 - 2 u.v of a block of queries in one matrix product, and the
kernel in ``csrc/core/select.h`` finds the few candidates of each query. Only they are copied. While
the device works on the next block, the CPU computes their distances and ranks them, as `exact`
does. So the results are those of `exact.nearest`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from .. import _core
from .._core import pair_distances
from ..errors import DeviceUnavailable
from .exact import rank, rounding_slack, squared_lengths

# Queries [first, last) and their candidates: (rows, columns), ordered by row, then by column. Rows
# count from `first`.
Candidates = tuple[int, int, np.ndarray, np.ndarray]

# Scores held on the device at once; a block has at least one row.
BLOCK_BYTES = 1 << 30
# Rows of matrices on the device begin at multiples of 16 bytes.
ALIGNMENT = 4


def nearest_on_cuda(
    queries: np.ndarray, points: np.ndarray, n: int, exclude: sp.csr_array
) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``n`` points nearest to each query on the current CUDA device.

    Arguments and results are those of `exact.nearest`; the arrays are NumPy's. Raises
    `DeviceUnavailable` if CuPy was told to compute products with too few digits.
    """
    # CuPy reads it so, too.
    if int(os.environ.get("CUPY_TF32", "0")) > 0:
        raise DeviceUnavailable(
            "the environment variable CUPY_TF32 makes products too coarse for exact search: unset "
            "it, or search with device='cpu'"
        )
    m, p = len(queries), len(points)
    found = np.full((m, n), -1, dtype=np.int64)
    distances = np.full((m, n), np.inf, dtype=np.float32)
    if m == 0 or p == 0:
        return found, distances
    wanted = min(n, p)
    norms = squared_lengths(points)
    slack = rounding_slack(queries, norms)
    block = _Block(points, norms, wanted, m)
    for first, last, rows, columns in _in_turn(block, queries, slack, exclude):
        part = slice(first, last)
        lengths = pair_distances(queries[part], points, rows, columns)
        found[part, :wanted], distances[part, :wanted] = rank(
            rows, columns, lengths, last - first, wanted
        )
    return found, distances


def _in_turn(
    block: _Block, queries: np.ndarray, slack: np.ndarray, exclude: sp.csr_array
) -> Iterator[Candidates]:
    """Yield the candidates of all queries, some at a time.

    Those of a block come when the device has begun to work on the next one.
    """
    before: list[Candidates] = []
    for start in range(0, len(queries), block.size):
        part = slice(start, min(start + block.size, len(queries)))
        block.begin(queries[part], slack[part], exclude[part])
        yield from before
        candidates = block.candidates(0, part.stop - start)
        if candidates is None:
            before = []
            for first, last, rows, columns in block.in_parts(0, part.stop - start):
                yield start + first, start + last, rows, columns
        else:
            before = [(start, part.stop, *candidates)]
    yield from before


class _Block:
    """The scores of so many queries on the device, and the columns that were selected from them.

    Parameters
    ----------
    points : numpy.ndarray, (p, r), float32
    norms : numpy.ndarray, (p,), float32
        Their squared lengths.
    n : int
        How many points are wanted, at most p.
    m : int
        The number of all queries.

    Attributes
    ----------
    size : int
        The number of queries of a block.
    """

    def __init__(self, points: np.ndarray, norms: np.ndarray, n: int, m: int) -> None:
        import cupy

        p, r = points.shape
        self._n, self._p, self._r = n, p, r
        # [-2 u, 1] . [v, |v|^2]: a score is one product. What fills up the columns of the scores
        # is at an infinite distance.
        self._right = cupy.zeros((_aligned(p), _aligned(r + 1)), dtype=cupy.float32)
        self._right[:p, :r] = cupy.asarray(points)
        self._right[:p, r] = cupy.asarray(norms)
        self._right[p:, r] = np.inf
        self.size = min(m, max(1, BLOCK_BYTES // (4 * _aligned(p))))
        self._scores = cupy.empty((self.size, _aligned(p)), dtype=cupy.float32)
        # Room for all candidates of a query, however many they are.
        room = min(self.size * p, max(p, 2 * self.size * n))
        self._columns = cupy.empty(room, dtype=cupy.int32)
        self._found = cupy.empty(2 * self.size + 1, dtype=cupy.int64)

    def begin(self, queries: np.ndarray, slack: np.ndarray, exclude: sp.csr_array) -> None:
        """Start computing scores and selecting candidates of at most ``size`` queries."""
        import cupy

        m = len(queries)
        left = np.zeros((m, self._right.shape[1]), dtype=np.float32)
        left[:, : self._r] = -2 * queries
        left[:, self._r] = 1
        cupy.dot(cupy.asarray(left), self._right.T, out=self._scores[:m])
        self._slack = cupy.asarray(slack)
        self._indptr = cupy.asarray(exclude.indptr.astype(np.int64, copy=False))
        self._indices = cupy.asarray(exclude.indices.astype(np.int32, copy=False))
        self._select(0, m)

    def candidates(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Wait for the candidates of these queries; None if there is no room for them."""
        m = last - first
        numbers = self._found[: 2 * m + 1].get()
        total, starts, counts = int(numbers[0]), numbers[1 : m + 1], numbers[m + 1 :]
        if total > len(self._columns):
            return None
        order = np.argsort(starts, kind="stable")  # some have no columns, and the same start
        keys = np.repeat(order, counts[order]) * self._p + self._columns[:total].get()
        keys.sort()
        rows, columns = np.divmod(keys, self._p)
        return rows, columns

    def in_parts(self, first: int, last: int) -> Iterator[Candidates]:
        """Select again for half of these queries, then for the others.

        There is room for what a single query can have.
        """
        middle = (first + last) // 2
        for part in ((first, middle), (middle, last)):
            self._select(*part)
            candidates = self.candidates(*part)
            if candidates is None:
                yield from self.in_parts(*part)
            else:
                yield (*part, *candidates)

    def _select(self, first: int, last: int) -> None:
        import cupy

        _core.cuda_select(
            scores=self._scores[first:last],
            indptr=self._indptr[first : last + 1],
            indices=self._indices,
            n=self._n,
            slack=self._slack[first:last],
            columns=self._columns,
            found=self._found[: 2 * (last - first) + 1],
            stream=cupy.cuda.get_current_stream().ptr,
        )


def _aligned(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT
