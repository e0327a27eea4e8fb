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

The rows are compared and added up in csrc/cpu/exchange.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import _core


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
            array[...] = other


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
    return Parcel(*_core.pack(now, start, n_dims))


def combine(parcels: Sequence[Parcel], combined: Items, max_norm: float) -> Parcel:
    """Add what workers changed in a round to the combined rows of a share; return the new ones.

    ``combined`` is changed. The vectors stay in the ball of radius ``max_norm``.
    """
    return Parcel(*_core.combine(parcels, combined, max_norm))


def arrive(start: Items, now: Items, parcel: Parcel, own: Parcel | None, max_norm: float) -> None:
    """Take over the combined rows of a share, and what has been changed here since.

    Parameters
    ----------
    start : Items
        Takes the combined rows.
    now : Items
        Takes them with the own changes. Rows that are not combined have these already. The vectors
        stay in the ball of radius ``max_norm``: the kernels count on that.
    parcel : Parcel
        The combined rows.
    own : Parcel or None
        What the kernels have changed since, if they have run.
    """
    _core.arrive(start, now, parcel, own, max_norm)
