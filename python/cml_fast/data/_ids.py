"""External ids and their row numbers."""

from __future__ import annotations

import numbers
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

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
