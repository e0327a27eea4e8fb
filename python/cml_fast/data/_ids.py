"""External ids and their row numbers: the one look-up that all of the package uses."""

from __future__ import annotations

import numbers
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

# An error message names at most this many unknown ids.
NAMED = 5
_INT64 = np.iinfo(np.int64)


class IdIndex:
    """External ids in the order of their rows, and the way back from an id to its row number.

    Parameters
    ----------
    what : str
        What an id stands for, such as "user"; for error messages.
    ids : array_like of int or str, or None
        The unique id of each row; None stands for 0, 1, 2, ...
    n : int, optional
        The number of rows; by default as many as there are ids, at least one.
    argument : str, optional
        The name of the argument that holds the ids, by default ``what`` and "_ids".

    Attributes
    ----------
    argument : str
    array : numpy.ndarray, (n,), int64 or str
        The ids; read-only.
    """

    def __init__(
        self,
        what: str,
        ids: npt.ArrayLike | None,
        n: int | None = None,
        *,
        argument: str | None = None,
    ) -> None:
        self._what = what
        self.argument = name = argument or f"{what}_ids"
        self.array = np.arange(n or 0, dtype=np.int64) if ids is None else _id_array(name, ids)
        if n is None and not self.array.size:
            raise ValueError(f"{name} must be at least one id, got none")
        if n is not None and self.array.shape != (n,):
            raise ValueError(f"{name} must be {n} ids, one per row, got {len(self.array)}")
        self.array.flags.writeable = False
        ordered = self.array[self._order]
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if repeated.size:
            raise ValueError(f"{name} must be unique, {repeated[0].item()!r} occurs twice")

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.array, kind="stable")

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the row number, int64, of each of these int64 or str ids; -1 for unknown ids.

        Integers and strings are compared as text, because ids that are integers in one file may
        be strings in another one: the string "7" is the integer 7, but "007" is not.
        """
        if self.array.dtype.kind == "i" and ids.dtype.kind == "U":
            values = [_as_int64(text) for text in ids.tolist()]
            is_number = np.array([value is not None for value in values], dtype=bool)
            found = np.full(len(values), -1, dtype=np.int64)
            integers = [value for value in values if value is not None]
            found[is_number] = self.find(np.array(integers, dtype=np.int64))
            return found
        wanted = ids if ids.dtype.kind == self.array.dtype.kind else ids.astype(str)
        places = np.searchsorted(self.array, wanted, sorter=self._order)
        rows = self._order[np.minimum(places, len(self.array) - 1)]
        return np.where(self.array[rows] == wanted, rows, -1)

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
        rows = self.find(wanted)
        unknown = wanted[rows < 0]
        if unknown.size:
            named = ", ".join(map(repr, unknown[:NAMED].tolist()))
            raise ValueError(
                f"the model has no {self._what} {named} ({unknown.size} unknown ids): leave out "
                f"{self._what}s that had no interactions in training"
            )
        return rows[0] if scalar else rows


def _as_int64(text: str) -> int | None:
    """Return the int64 that is written as ``text``; None if there is no such number."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if str(value) == text and _INT64.min <= value <= _INT64.max else None


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
    if array.dtype.kind == "u" and array.size and array.max() > _INT64.max:
        raise ValueError(f"{name} must fit into int64, got {array.max()}; use strings instead")
    return array.astype(str if array.dtype.kind == "U" else np.int64)
