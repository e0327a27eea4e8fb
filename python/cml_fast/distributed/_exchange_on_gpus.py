"""The exchange of a round where workers gather what all changed on their GPUs: see `_gathering`.

The arithmetic is that of `_exchange`, in the same order, with the functions of the arrays' own
namespace: the rows stay where they are. Each worker gets the parcels of all and combines all items
itself. A parcel is one array, because all of it is sent at once:

    (n_items, n_dims + width + 1), float32: of each row how far it has moved, what its accumulators
    have gained, and whether it was changed, 1 or 0; or, of combined rows, where they are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._compute.array_api import namespace_of
from ._exchange import Items


def pack(now: Items, start: Items, n_dims: int) -> Any:
    """How far the rows have moved since the start of the round: a parcel."""
    xp, width = namespace_of(now.vectors), min(n_dims, now.accumulators.shape[1])
    parcel = xp.empty((len(now.vectors), n_dims + width + 1), dtype=np.float32)
    changed = xp.zeros(len(parcel), dtype=bool)
    for array, before, to in zip(now, start, _parts(parcel, n_dims), strict=True):
        columns = to.shape[1]
        to[...] = array[:, :columns] - before[:, :columns]
        # At the edge of the ball a vector may come back to where it was; its accumulators do not.
        bits, bits_before = (some[:, :columns].view(np.uint32) for some in (array, before))
        changed |= (bits != bits_before).any(axis=1)
    parcel[:, -1] = changed
    return parcel


def combine(parcels: Sequence[Any], combined: Items, max_norm: float) -> Any:
    """Add what workers changed in a round to the combined rows; return a parcel of the new ones."""
    xp, n_dims = namespace_of(parcels[0]), _n_dims(parcels[0], combined)
    result = xp.zeros_like(parcels[0])
    for parcel in parcels:
        result += parcel
    moved, added = _parts(result, n_dims)
    counts = result[:, -1:]
    vectors, sums = combined.vectors[:, :n_dims], combined.accumulators[:, : added.shape[1]]
    total = sums + added
    of_a_worker = sums + added / xp.maximum(counts, np.float32(1))
    # Where nothing is known, nothing has moved.
    moved *= xp.sqrt(of_a_worker / xp.maximum(total, np.finfo(np.float32).tiny))
    moved += vectors
    _into_ball(moved, max_norm)
    added[...] = total
    touched = counts > 0
    for array, rows in ((vectors, moved), (sums, added)):
        array[...] = xp.where(touched, rows, array)
    result[:, -1:] = touched
    return result


def arrive(start: Items, now: Items, parcel: Any, own: Any | None, max_norm: float) -> None:
    """Take over combined rows, and what has been changed here since, as `_exchange.arrive`."""
    xp, n_dims = namespace_of(parcel), _n_dims(parcel, now)
    touched = parcel[:, -1:] > 0
    rows = _parts(parcel, n_dims)
    for array, combined in zip(start, rows, strict=True):
        array = array[:, : combined.shape[1]]
        array[...] = xp.where(touched, combined, array)
    if own is not None:
        vectors, sums = (
            combined + moved for combined, moved in zip(rows, _parts(own, n_dims), strict=True)
        )
        _into_ball(vectors, max_norm)  # the kernels count on that
        changed = own[:, -1:] > 0
        rows = xp.where(changed, vectors, rows[0]), xp.where(changed, sums, rows[1])
    for array, row in zip(now, rows, strict=True):
        array = array[:, : row.shape[1]]
        array[...] = xp.where(touched, row, array)


def _n_dims(parcel: Any, items: Items) -> int:
    """Of the vectors in a parcel: a row has one accumulator, or as many as dimensions."""
    columns: int = parcel.shape[1] - 1
    return columns - 1 if items.accumulators.shape[1] == 1 else columns // 2


def _parts(parcel: Any, n_dims: int) -> tuple[Any, Any]:
    """The vectors and the accumulators of a parcel (views)."""
    return parcel[:, :n_dims], parcel[:, n_dims:-1]


def _into_ball(rows: Any, max_norm: float) -> None:
    """Scale rows that are longer than ``max_norm`` to this length.

    Halves of the squares are added up first, as everywhere in the exchange.
    """
    xp = namespace_of(rows)
    sums = rows * rows
    while (width := sums.shape[1]) > 1:
        half = width // 2
        folded = sums[:, :half] + sums[:, half : 2 * half]
        if width % 2:
            folded[:, 0] += sums[:, -1]
        sums = folded
    norms, radius = xp.sqrt(sums), np.float32(max_norm)
    rows *= xp.where(norms > radius, radius / xp.maximum(norms, radius), np.float32(1))
