"""How the changes that several workers made to the items in a round become one.

Each worker packs how much the rows that it changed have moved, in a parcel for each share of the
items; the worker of a share combines the parcels for it; and the combined rows arrive at all of
them. What is added up is added in the order of the workers' numbers, not of arrival, element by
element, so that the result is the same to the bit everywhere.

Workers train the next round meanwhile, so the combined rows arrive under what each has changed
since.

A worker makes the steps of AdaGrad as if it was alone: their size is that of the learning rate over
the square root of the squared gradients that it knows of. One machine would know of those of all
workers, and make smaller steps. So the sum of the changes is multiplied by

    sqrt((A + D / c) / (A + D)),

where A is the accumulator at the start of the round, D what all workers added to it, and c how many
workers changed the row. A row that one worker changed moves as on one machine; one that all change
moves by up to sqrt(c) less than the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Rows that are worked on at a time, so that what is computed on the way stays in the cache.
BLOCK = 2048


class Items(NamedTuple):
    """Vectors (n, width) and accumulators (n, width or 1) of items, float32."""

    vectors: np.ndarray
    accumulators: np.ndarray

    def part(self, begin: int, end: int) -> Items:
        """A view of the rows [begin, end)."""
        return Items(self.vectors[begin:end], self.accumulators[begin:end])

    def copy(self) -> Items:
        return Items(*(array.copy() for array in self))

    def become(self, others: Items) -> None:
        """Take over all that others hold."""
        for array, other in zip(self, others, strict=True):
            np.copyto(array, other)


class Parcel(NamedTuple):
    """Some rows of a share of the items: how far they moved, or where they are now.

    Attributes
    ----------
    rows : numpy.ndarray, (m,), int32
        Ascending, counted from the start of the share.
    vectors : numpy.ndarray, (m, n_dims), float32
    accumulators : numpy.ndarray, (m, n_dims or 1), float32
    """

    rows: np.ndarray
    vectors: np.ndarray
    accumulators: np.ndarray

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self)


def pack(now: Items, start: Items, n_dims: int) -> Parcel:
    """How far the rows of a share have moved since the start of the round."""
    n, width = len(now.vectors), min(n_dims, now.accumulators.shape[1])
    rows = np.empty(n, dtype=np.int32)
    vectors, accumulators = (
        np.empty((n, columns), dtype=np.float32) for columns in (n_dims, width)
    )
    end = 0
    for begin in range(0, n, BLOCK):
        block, before = now.part(begin, begin + BLOCK), start.part(begin, begin + BLOCK)
        # As integers of 8 bytes: half as many to compare.
        moved = (block.vectors.view(np.uint64) != before.vectors.view(np.uint64)).any(axis=1)
        # At the edge of the ball a vector may come back to where it was.
        moved |= (block.accumulators != before.accumulators).any(axis=1)
        some = np.flatnonzero(moved)
        at, to = _places(some, len(moved)), slice(end, end + len(some))
        rows[to] = some + begin
        np.subtract(block.vectors[at, :n_dims], before.vectors[at, :n_dims], vectors[to])
        np.subtract(
            block.accumulators[at, :width], before.accumulators[at, :width], accumulators[to]
        )
        end += len(some)
    return Parcel(rows[:end], vectors[:end], accumulators[:end])


def combine(parcels: Sequence[Parcel], combined: Items, max_norm: float) -> Parcel:
    """Add what workers changed in a round to the combined rows of a share; return the new ones.

    The vectors stay in the ball of radius ``max_norm``. ``combined`` stays as it is.
    """
    n_dims, width = parcels[0].vectors.shape[1], parcels[0].accumulators.shape[1]
    n_rows = len(combined.vectors)
    counts = np.zeros(n_rows, dtype=np.int32)
    for parcel in parcels:
        counts[_places(parcel.rows, n_rows)] += 1
    touched = np.flatnonzero(counts)
    place = np.cumsum(counts > 0) - 1
    moved = np.zeros((len(touched), n_dims), dtype=np.float32)
    added = np.zeros((len(touched), width), dtype=np.float32)
    for parcel in parcels:
        at = _places(place[parcel.rows], len(touched))
        moved[at] += parcel.vectors
        added[at] += parcel.accumulators
    places = _places(touched, n_rows)
    before = combined.accumulators[places, :width]
    share = counts[touched, None].astype(np.float32)
    tiny = np.finfo(np.float32).tiny
    # Where nothing is known, nothing has moved.
    moved *= np.sqrt((before + added / share) / np.maximum(before + added, tiny))
    moved += combined.vectors[places, :n_dims]
    _into_ball(moved, max_norm)
    return Parcel(touched.astype(np.int32), moved, before + added)


def adopt(items: Items, parcel: Parcel) -> None:
    """Take over the combined rows of a share."""
    places = _places(parcel.rows, len(items.vectors))
    for array, rows in zip(items, parcel[1:], strict=True):
        array[places, : rows.shape[1]] = rows


def put_on(now: Items, parcel: Parcel, own: Parcel, max_norm: float) -> None:
    """Add own changes, which have been made since, to the combined rows that are in ``now``.

    Rows that are not combined have these changes. The vectors stay in the ball: the kernels count
    on that.
    """
    n_rows, n_dims, width = len(now.vectors), own.vectors.shape[1], own.accumulators.shape[1]
    is_combined = np.zeros(n_rows, dtype=bool)
    is_combined[_places(parcel.rows, n_rows)] = True
    some = np.flatnonzero(is_combined[own.rows])
    for begin in range(0, len(some), BLOCK):
        at = some[begin : begin + BLOCK]
        to = own.rows[at]
        vectors = now.vectors[to, :n_dims] + own.vectors[at]
        _into_ball(vectors, max_norm)
        now.vectors[to, :n_dims] = vectors
        now.accumulators[to, :width] += own.accumulators[at]


def _places(rows: np.ndarray, n: int) -> np.ndarray | slice:
    """An index of some of n rows, in their order; NumPy copies nothing where it is all of them."""
    return slice(None) if len(rows) == n else rows


def _into_ball(rows: np.ndarray, max_norm: float) -> None:
    """Scale rows that are longer than ``max_norm`` to this length.

    The squares are added in an order of our own: that of NumPy's sums is up to its version.
    """
    for begin in range(0, len(rows), BLOCK):
        block = rows[begin : begin + BLOCK]
        sums = block * block
        while (width := sums.shape[1]) > 1:
            half = width // 2
            folded = sums[:, :half] + sums[:, half : 2 * half]
            if width % 2:
                folded[:, 0] += sums[:, -1]
            sums = folded
        norms = np.sqrt(sums)
        long = np.flatnonzero(norms[:, 0] > np.float32(max_norm))
        block[long] *= np.float32(max_norm) / norms[long]
