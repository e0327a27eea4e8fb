"""Columns of tables that users have of their items: titles, groups."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..data._ids import IdIndex
from ..errors import DataError


def column_of(
    argument: str, file: Path, id_column: str, column_argument: str, column: str, ids: np.ndarray
) -> list[Any]:
    """Return the value of a column for each of these ids, None where the table has none.

    ``argument`` and ``column_argument`` are what messages name for the file and its column. Ids of
    the table that are not asked for are left out.
    """
    from .._export.metadata import align  # only now: pyarrow is slow to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # such tables have all items of a shop
        table, places = align(argument, file, id_column, [IdIndex("item", ids)], "drop")
    if column not in table.column_names:
        raise DataError(
            f"{argument} has no column {column!r}; the columns are: "
            f"{', '.join(table.column_names)}. Name the right one with {column_argument}="
        )
    values = table[column].to_pylist()
    return [values[place] if place >= 0 else None for place in places.tolist()]
