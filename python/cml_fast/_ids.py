"""External ids: translating them to row numbers, and data that must have those of a model."""

from __future__ import annotations

import numbers
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._checks import check_matrix
from .data.interactions import Interactions
from .errors import DataError

# Unknown ids that a message names.
NAMED = 5


class IdIndex:
    """External ids, and the way back from them to row numbers."""

    def __init__(self, what: str, ids: npt.ArrayLike | None, n: int) -> None:
        self._what = what
        self.array = np.arange(n, dtype=np.int64) if ids is None else _id_array(f"{what}_ids", ids)
        if self.array.shape != (n,):
            raise ValueError(f"{what}_ids must be {n} ids, one per row, got {len(self.array)}")
        self.array.flags.writeable = False
        ordered = self.array[self._order]
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if repeated.size:
            raise ValueError(f"{what}_ids must be unique, {repeated[0].item()!r} occurs twice")

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.array, kind="stable")

    def rows(self, ids: npt.ArrayLike) -> Any:
        """Return row numbers, a scalar for a scalar; unknown ids are a ValueError."""
        scalar = np.ndim(ids) == 0
        wanted = _id_array("ids", np.array([ids], dtype=object) if scalar else ids)
        if wanted.size == 0:
            return np.zeros(0, dtype=np.int64)
        if wanted.dtype.kind != self.array.dtype.kind:
            raise TypeError(
                f"ids of {self._what}s must be like {self.array[0].item()!r}, "
                f"got {wanted[0].item()!r}"
            )
        places = np.searchsorted(self.array, wanted, sorter=self._order)
        rows = self._order[np.minimum(places, len(self.array) - 1)]
        unknown = wanted[self.array[rows] != wanted]
        if unknown.size:
            named = ", ".join(map(repr, unknown[:NAMED].tolist()))
            raise ValueError(
                f"the model has no {self._what} {named} ({unknown.size} unknown ids): leave out "
                f"{self._what}s that had no interactions in training"
            )
        return rows[0] if scalar else rows


def interaction_rows(
    name: str,
    value: sp.sparray | sp.spmatrix | Interactions,
    rows: np.ndarray,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
) -> sp.csr_array:
    """Return a copy of some rows of interactions that must be of these users and items.

    Warnings point at the caller of the caller.

    Raises
    ------
    TypeError
        If ``value`` is no sparse matrix.
    DataError
        If it has another shape, other ids, or values that are not finite and positive.
    """
    shape = (len(user_ids), len(item_ids))
    matrix = value.matrix if isinstance(value, Interactions) else value
    if not sp.issparse(matrix) or matrix.shape != shape or matrix.format != "csr":
        matrix = check_matrix(name, matrix, shape, stacklevel=4)
    if isinstance(value, Interactions):
        for what, ids, known in (
            ("user_ids", value.user_ids, user_ids),
            ("item_ids", value.item_ids, item_ids),
        ):
            if ids.dtype.kind != known.dtype.kind or not np.array_equal(ids, known):
                raise DataError(
                    f"{name}.{what} are not those of the model; if the rows and columns mean the "
                    f"same, give {name}.matrix"
                )
    # Only these rows are looked at: one user's recommendations cost no pass over the matrix.
    chosen = sp.csr_array(matrix)[rows]
    try:
        return check_matrix(name, chosen, chosen.shape, stacklevel=4)
    except DataError:
        check_matrix(name, matrix, shape)  # the same fault, but with the user's own row number
        raise


def item_interactions(
    name: str,
    value: sp.sparray | sp.spmatrix | Interactions,
    items: IdIndex,
    n_rows: int | None = None,
) -> sp.csr_array:
    """Return interactions of anyone with these items, a column for each.

    The rows, so many if that is given, are whom the caller takes them to be. Ids of items that
    come with them may be in another order, or only some of these. Warnings point at the caller of
    the caller.

    Raises
    ------
    TypeError
        If ``value`` is no sparse matrix, or ids are of another type.
    ValueError
        If ids are not unique, or not among these items.
    DataError
        If it has another shape, or values that are not finite and positive.
    """
    n_items = len(items.array)
    if isinstance(value, Interactions):
        matrix = check_matrix(name, value.matrix, stacklevel=4)
        columns = items.rows(IdIndex(f"{name}.item", value.item_ids, matrix.shape[1]).array)
        pairs = matrix.tocoo()
        matrix = sp.csr_array(
            (pairs.data, (pairs.row, columns[pairs.col])), shape=(matrix.shape[0], n_items)
        )
    else:
        shape = (value.shape[0], n_items) if sp.issparse(value) else None
        matrix = check_matrix(name, value, shape, stacklevel=4)
    if n_rows is not None and matrix.shape[0] != n_rows:
        raise DataError(f"{name} must have {n_rows} rows, got {matrix.shape[0]}")
    return matrix


def _id_array(name: str, ids: npt.ArrayLike) -> np.ndarray:
    """Return ids as a new int64 or str array."""
    # Through objects, because NumPy would turn [1, "a"] into strings.
    array = ids if isinstance(ids, np.ndarray) else np.array(ids, dtype=object)
    if array.ndim == 1 and array.dtype == object:
        if all(isinstance(value, str) for value in array):
            array = array.astype(str)
        elif all(
            isinstance(value, numbers.Integral) and not isinstance(value, bool) for value in array
        ):
            array = np.array(array.tolist())
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise TypeError(
            f"{name} must be a one-dimensional sequence of integers, or of strings, got an array "
            f"of {array.dtype} with shape {array.shape}"
        )
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit into int64, got {array.max()}; use strings instead")
    return array.astype(str if array.dtype.kind == "U" else np.int64)
