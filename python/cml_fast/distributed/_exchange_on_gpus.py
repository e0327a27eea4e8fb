"""The exchange of a round where workers gather what all changed on their GPUs: see `_gathering`.

The arithmetic is that of `_exchange`, in the same order, with the functions of the arrays' own
namespace: the rows stay where they are. Each worker gets the parcels of all and combines all items
itself. A parcel is one array, because all of it is sent at once:

    (m, n_dims + width + 1), float32: of m rows, in ascending order, how far each has moved and what
    its accumulators have gained, or, of combined rows, where they are now; and in the last column
    the number of the row, whose bits are those of an int32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._compute.array_api import namespace_of
from ._exchange import Items


def pack(now: Items, start: Items, n_dims: int) -> Any:
    """How far the rows that changed have moved since the start of the round: a parcel."""
    xp, changed, exchanged = namespace_of(now.vectors), None, []
    for array, before in zip(now, start, strict=True):
        columns = min(n_dims, array.shape[1])
        array, before = array[:, :columns], before[:, :columns]
        # At the edge of the ball a vector may come back to where it was; its accumulators do not.
        differs = (array.view(np.uint32) != before.view(np.uint32)).any(axis=1)
        changed = differs if changed is None else changed | differs
        exchanged.append((array, before))
    rows = xp.flatnonzero(changed)
    return _parcel([array[rows] - before[rows] for array, before in exchanged], rows)


def combine(parcels: Sequence[Any], combined: Items, max_norm: float) -> Any:
    """Add what workers changed in a round to the combined rows; return a parcel of the new ones."""
    xp, n_dims = namespace_of(parcels[0]), _n_dims(parcels[0], combined)
    rows = xp.unique(xp.concatenate([rows_of(parcel) for parcel in parcels]))
    result = xp.zeros((len(rows), parcels[0].shape[1] - 1), dtype=np.float32)
    counts = xp.zeros((len(rows), 1), dtype=np.float32)
    for parcel in parcels:
        at = xp.searchsorted(rows, rows_of(parcel))
        result[at] += parcel[:, :-1]
        counts[at] += np.float32(1)
    moved, added = result[:, :n_dims], result[:, n_dims:]
    sums = combined.accumulators[rows, : added.shape[1]]
    total = sums + added
    of_a_worker = sums + added / counts
    # Where nothing is known, nothing has moved.
    moved *= xp.sqrt(of_a_worker / xp.maximum(total, np.finfo(np.float32).tiny))
    moved += combined.vectors[rows, :n_dims]
    _into_ball(moved, max_norm)
    added[...] = total
    _put(combined, rows, result, n_dims)
    return _parcel([result], rows)


def arrive(start: Items, now: Items, parcel: Any, own: Any | None, max_norm: float) -> None:
    """Take over combined rows, and what has been changed here since, as `_exchange.arrive`."""
    xp, n_dims = namespace_of(parcel), _n_dims(parcel, now)
    rows, values = rows_of(parcel), parcel[:, :-1]
    _put(start, rows, values, n_dims)
    if own is not None:
        place = xp.full(len(now.vectors), -1, dtype=np.int64)  # of each row in the own parcel
        place[rows_of(own)] = xp.arange(len(own))
        at = place[rows]
        both = xp.flatnonzero(at >= 0)
        sums = values[both] + own[at[both], :-1]
        _into_ball(sums[:, :n_dims], max_norm)  # the kernels count on that
        values = values.copy()
        values[both] = sums
    _put(now, rows, values, n_dims)


def rows_of(parcel: Any) -> Any:
    """The numbers of the rows, (m,) int32."""
    return namespace_of(parcel).ascontiguousarray(parcel[:, -1]).view(np.int32)


def _parcel(values: list[Any], rows: Any) -> Any:
    xp = namespace_of(rows)
    numbers = rows.astype(np.int32)[:, None].view(np.float32)
    return xp.concatenate([*values, numbers], axis=1)


def _n_dims(parcel: Any, items: Items) -> int:
    """Of the vectors in a parcel: a row has one accumulator, or as many as dimensions."""
    columns: int = parcel.shape[1] - 1
    return columns - 1 if items.accumulators.shape[1] == 1 else columns // 2


def _put(items: Items, rows: Any, values: Any, n_dims: int) -> None:
    items.vectors[rows, :n_dims] = values[:, :n_dims]
    items.accumulators[rows, : values.shape[1] - n_dims] = values[:, n_dims:]


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
