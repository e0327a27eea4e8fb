"""What is known of the items, as the caller has it: a column, a dict by id, or one value each."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._export.metadata import align
from ..data._ids import NAMED, IdIndex, id_array
from ..errors import DataError

_LONGEST_TEXT = 200
_SECONDS_OF_A_DAY = 86_400


class Columns:
    """Finds the values of an argument for each item.

    Parameters
    ----------
    items : IdIndex
    metadata : data frame, dict, path or None
        As ``item_metadata`` of `Model.export`.
    id_column, unknown : str
        Its arguments.
    """

    def __init__(self, items: IdIndex, metadata: Any, id_column: str, unknown: str) -> None:
        self._items = items
        self._unknown = unknown
        self._table = None
        if metadata is not None:
            self._table, places = align("item_metadata", metadata, id_column, [items], unknown)
            self._places = places.tolist()

    def values(self, name: str, given: Any) -> list[Any] | None:
        """Return a value, or None where there is none, for each item; None if nothing is given.

        ``name`` is the argument that messages name.
        """
        if given is None:
            return None
        if isinstance(given, str):
            return self._column(name, given)
        if isinstance(given, Mapping):
            return self._by_id(name, given)
        found = _listed(name, given)
        if len(found) != len(self._items.array):
            raise DataError(
                f"{name} must be one for each of the model's {len(self._items.array)} items, in "
                f"their order, got {len(found)}; a dict of ids may have fewer"
            )
        return found

    def _column(self, name: str, column: str) -> list[Any]:
        if self._table is None:
            raise ValueError(
                f"{name}={column!r} is the name of a column: give the table with item_metadata"
            )
        if column not in self._table.column_names:
            known = ", ".join(map(repr, self._table.column_names)) or "none"
            raise DataError(f"item_metadata has no column {column!r} for {name}; it has: {known}")
        values = self._table[column].to_pylist()
        return [values[place] if place >= 0 else None for place in self._places]

    def _by_id(self, name: str, given: Mapping[Any, Any]) -> list[Any]:
        found: list[Any] = [None] * len(self._items.array)
        if not given:
            return found
        ids = id_array(name, list(given))
        rows = self._items.find(ids)
        missing = ids[rows < 0].tolist()
        if missing and self._unknown == "error":
            named = ", ".join(map(repr, missing[:NAMED]))
            raise DataError(
                f"{name} has {len(missing)} ids that the model does not have: {named}"
                f"{', ...' if len(missing) > NAMED else ''}; leave them out with unknown='drop'"
            )
        for row, value in zip(rows.tolist(), given.values(), strict=True):
            if row >= 0:
                found[row] = value
        return found


def texts(values: Sequence[Any] | None, ids: Sequence[Any]) -> list[str]:
    """Return names; an id stands in for a name that is missing."""
    values = [None] * len(ids) if values is None else values
    return [
        shortened(str(id if _is_nothing(value) else value))
        for value, id in zip(values, ids, strict=True)
    ]


def moments(name: str, values: Sequence[Any]) -> tuple[np.ndarray, bool]:
    """Return numbers, (n,), float64, NaN where there is none, and whether they are days of a date.

    Days are counted from 1970.
    """
    known = [value for value in values if not _is_nothing(value)]
    days = any(isinstance(value, (datetime.date, np.datetime64)) for value in known)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if not _is_nothing(value):
            numbers[row] = _days(name, value) if days else _number(name, value)
    return numbers, days


def shortened(text: str) -> str:
    """Return a text of a length that a page can show."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _listed(name: str, given: Any) -> list[Any]:
    for method in ("to_pylist", "to_list", "tolist"):  # of Arrow, of pandas and polars, of NumPy
        if hasattr(given, method):
            given = getattr(given, method)()
            break
    if not isinstance(given, Sequence):
        raise TypeError(
            f"{name} must be a column of item_metadata, a dict by id, or one value for each item, "
            f"got {type(given).__name__}"
        )
    return list(given)


def _is_nothing(value: Any) -> bool:
    if value is None or value is np.ma.masked:
        return True
    return (isinstance(value, float) and math.isnan(value)) or str(value) in ("NaT", "<NA>")


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{name} must be numbers, such as years, or dates, got {value!r}")
    return number


def _days(name: str, value: Any) -> float:
    try:
        moment = np.datetime64(value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be all numbers or all dates, got {value!r}") from error
    return float(moment.astype("datetime64[s]").astype(np.int64)) / _SECONDS_OF_A_DAY
