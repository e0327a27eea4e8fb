"""External ids and their row numbers: the one look-up that all of the package uses."""

from __future__ import annotations

import numbers
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .._validation.showing import quoted

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
    array : numpy.ndarray, (n,), int64, or object with a str in each place
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
        self.array = np.arange(n or 0, dtype=np.int64) if ids is None else id_array(name, ids)
        if n is None and not self.array.size:
            raise ValueError(f"{name} must be at least one id, got none")
        if n is not None and self.array.shape != (n,):
            raise ValueError(f"{name} must be {n} ids, one per row, got {len(self.array)}")
        self.array.flags.writeable = False
        if self.array.dtype.kind == "i":
            ordered = self.array[self._order]
            repeated = ordered[1:][ordered[1:] == ordered[:-1]].tolist()
        else:
            repeated = [
                id for row, id in enumerate(self.array.tolist()) if self._rows_by_text[id] != row
            ]
        if repeated:
            raise ValueError(f"{name} must be unique, {quoted(repeated[0])} occurs twice")

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.array, kind="stable")

    @cached_property
    def _rows_by_text(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.array.tolist())}

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return the row number, int64, of each of these int64 or str ids; -1 for unknown ids.

        Integers and strings are compared as text, because ids that are integers in one file may
        be strings in another one: the string "7" is the integer 7, but "007" is not.
        """
        if ids.dtype.kind == "U":
            ids = ids.astype(object)
        if self.array.dtype.kind == "O":
            rows = self._rows_by_text
            texts = ids.tolist() if ids.dtype.kind == "O" else map(str, ids.tolist())
            return np.array([rows.get(text, -1) for text in texts], dtype=np.int64)
        if ids.dtype.kind == "O":
            values = [_as_int64(text) for text in ids.tolist()]
            is_number = np.array([value is not None for value in values], dtype=bool)
            found = np.full(len(values), -1, dtype=np.int64)
            integers = [value for value in values if value is not None]
            found[is_number] = self.find(np.array(integers, dtype=np.int64))
            return found
        places = np.searchsorted(self.array, ids, sorter=self._order)
        found = self._order[np.minimum(places, len(self.array) - 1)]
        return np.where(self.array[found] == ids, found, -1)

    def rows(self, ids: npt.ArrayLike) -> Any:
        """Return row numbers, a scalar for a scalar; unknown ids are a ValueError."""
        scalar = np.ndim(ids) == 0
        wanted = id_array("ids", [ids] if scalar else ids)
        if wanted.size == 0:
            return np.zeros(0, dtype=np.int64)
        rows = self.find(wanted)
        unknown = wanted[rows < 0]
        if unknown.size:
            named = ", ".join(map(quoted, unknown[:NAMED].tolist()))
            raise ValueError(
                f"the model has no {self._what} {named} ({unknown.size} unknown ids): leave out "
                f"{self._what}s that had no interactions in training"
            )
        return rows[0] if scalar else rows


def same_ids(ids: Any, known: Any) -> bool:
    """Whether ids are the same, row by row; integers and strings are compared as text."""
    if ids is known:
        return True
    is_ready = isinstance(ids, np.ndarray) and isinstance(known, np.ndarray)
    if is_ready and ids.dtype == known.dtype:
        return bool(np.array_equal(ids, known))
    one, other = id_array("ids", ids), id_array("ids", known)
    if one.dtype != other.dtype:
        one, other = one.astype(str).astype(object), other.astype(str).astype(object)
    return bool(np.array_equal(one, other))


def _as_int64(text: str) -> int | None:
    """Return the int64 that is written as ``text``; None if there is no such number."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if str(value) == text and _INT64.min <= value <= _INT64.max else None


def id_array(name: str, ids: Any) -> np.ndarray:
    """Return ids as a new array: int64, or object with a str in each place.

    Text is kept as objects, because an array of NumPy's own text takes the space of the longest id
    for each, and drops NUL characters at the end.
    """
    # Through objects, because NumPy would turn [1, "a"] into strings.
    array = ids if isinstance(ids, np.ndarray) else np.array(_plain(ids), dtype=object)
    if array.ndim == 1 and array.dtype.kind in "UT":
        array = array.astype(object)
    if array.ndim == 1 and array.dtype == object and array.size:
        values = array.tolist()
        if all(isinstance(value, str) for value in values):
            texts = np.empty(len(values), dtype=object)
            texts[:] = [str(value) for value in values]
            return texts
        if all(
            isinstance(value, numbers.Integral) and not isinstance(value, bool) for value in values
        ):
            for value in values:
                if not _INT64.min <= value <= _INT64.max:
                    raise ValueError(
                        f"{name} must fit into int64, got {quoted(value)}; use strings instead"
                    )
            array = np.array(values, dtype=np.int64)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be a one-dimensional sequence of integers, or of strings, got an array "
            f"of {array.dtype} with shape {array.shape}"
        )
    if array.dtype.kind == "u" and array.size and int(array.max()) > _INT64.max:
        raise ValueError(f"{name} must fit into int64, got {array.max()}; use strings instead")
    return array.astype(np.int64)


def _plain(ids: Any) -> Any:
    """Return ids as something that NumPy makes an array of objects from."""
    for method in ("to_pylist", "tolist"):  # of Arrow, and of pandas
        if hasattr(ids, method):
            return getattr(ids, method)()
    return ids
