"""From arrays of users and items to a matrix with ids and timestamps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._validation.scalars import check_choice
from ..errors import DataError
from ._arrays import plain_array
from ._ids import IdIndex, id_array
from ._merging import merge_pairs
from ._timestamps import timestamp_array


def build(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    timestamps: npt.ArrayLike | None,
    user_ids: npt.ArrayLike | None,
    item_ids: npt.ArrayLike | None,
    unknown: str,
) -> tuple[sp.csr_array, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the arguments of `Interactions` for pairs of ids, each pair once and none of weight 0.

    What is merged or dropped is counted in warnings, which point at the caller of the caller.
    """
    drop = check_choice("unknown", unknown, ("error", "drop")) == "drop"
    rows, row_ids = _number("user", users, user_ids, drop)
    columns, column_ids = _number("item", items, item_ids, drop)
    if rows.size != columns.size:
        raise DataError(
            f"users and items must have the same length, got {rows.size} and {columns.size}"
        )
    values = None if weights is None else _weight_array(weights, rows.size)
    times = None if timestamps is None else timestamp_array("timestamps", timestamps, rows.size)

    is_known = (rows >= 0) & (columns >= 0)
    if not is_known.all():
        rows, columns, values, times = _keep(
            "their user is not in user_ids or their item not in item_ids",
            is_known, rows, columns, values, times,
        )  # fmt: skip
    if values is not None and not values.all():
        rows, columns, values, times = _keep(
            "their weight is 0", values > 0, rows, columns, values, times
        )
    if not rows.size:
        raise DataError("users and items hold no interactions: none was given, or none was left")
    shape = (row_ids.size, column_ids.size)
    matrix, times = merge_pairs(rows, columns, values, times, shape)
    if matrix.nnz < rows.size:
        how = "merged to one" if values is None else "merged by adding their weights"
        warnings.warn(f"{rows.size - matrix.nnz} repeated interactions were {how}", stacklevel=3)
    return matrix, row_ids, column_ids, times


def _keep(why: str, kept: np.ndarray, *arrays: np.ndarray | None) -> tuple[Any, ...]:
    """Return what is kept of arrays of interactions, with a warning that says why."""
    warnings.warn(
        f"{np.count_nonzero(~kept)} of {kept.size} interactions were dropped: {why}", stacklevel=4
    )
    return tuple(None if array is None else array[kept] for array in arrays)


def _number(
    what: str, values: npt.ArrayLike, ids: npt.ArrayLike | None, drop: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row number of each value, -1 for one that is dropped, and the ids of the rows."""
    array = id_array(f"{what}s", values)
    if ids is None:
        found, rows = np.unique(array, return_inverse=True)
        return rows, found
    index = IdIndex(what, ids)
    rows = index.find(array) if array.size else np.zeros(0, dtype=np.int64)
    unknown = np.flatnonzero(rows < 0)
    if unknown.size and not drop:
        first = array[unknown].tolist()[0]
        raise DataError(
            f"{what} {first!r} at position {unknown[0]} is not in {what}_ids "
            f"({unknown.size} of {array.size} interactions are of unknown {what}s); "
            'unknown="drop" leaves them out'
        )
    return rows, index.array


def _weight_array(weights: npt.ArrayLike, n: int) -> np.ndarray:
    """Return ``n`` finite weights that are not negative, float32."""
    given = plain_array("weights", weights)
    if given.ndim != 1 or given.dtype.kind not in "biuf":
        raise TypeError(
            "weights must be a one-dimensional sequence of numbers, got an array of "
            f"{given.dtype} with shape {given.shape}"
        )
    if given.size != n:
        raise DataError(f"weights must be {n}, one for each interaction, got {given.size}")
    with np.errstate(over="ignore"):
        values = given.astype(np.float32)
    good = (values >= 0) & np.isfinite(values)
    if not good.all():
        at = int(good.argmin())
        raise DataError(
            f"weights must be finite and not negative, got {given[at].item()!r} at position {at}"
        )
    return values
