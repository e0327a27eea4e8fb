"""Metadata of users or items: columns that are exported beside the vectors, found by id."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from .._threads import can_start_threads
from ..data._ids import NAMED, IdIndex, id_array
from ..data._readers.tables import frame_batches, is_frame
from ..errors import DataError
from .tables import ID, VECTOR

UNKNOWN = ("error", "drop")
# What columns may hold; narrower types become these, so that a target has few to know.
COLUMN_TYPES = "whole numbers, numbers, texts, true or false, dates, times, or lists of these"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


def align(
    name: str, metadata: Any, id_column: str, indices: Iterable[IdIndex], unknown: str
) -> tuple[pa.Table, np.ndarray]:
    """Return the columns but that of the ids, and the row in them of each of the model's ids.

    The model's ids are those of ``indices``, which have none in common. Ids without a row have
    place -1. ``name`` is the argument that the messages name.

    Raises
    ------
    TypeError, DataError
        If the metadata cannot be read, or have a column that cannot be exported, or ids that are
        missing, repeated, or not those of the model (with ``unknown="error"``).
    """
    table = _read(name, metadata, id_column)
    names = table.column_names
    for column in names:
        if names.count(column) > 1:
            raise DataError(f"{name} has two columns {column!r}: rename one")
        if column in (ID, VECTOR) and column != id_column:
            raise DataError(f"{name} has a column {column!r}, as the export itself: rename it")
    if id_column not in names:
        raise DataError(
            f"{name} has no column {id_column!r}; the columns are: {', '.join(names)}. Name the "
            "one with the ids with id_column"
        )
    columns = {column: _plain(name, column, table[column]) for column in names}
    given = columns.pop(id_column)
    if given.null_count:
        raise DataError(f"{name} has {given.null_count} rows without an id in {id_column!r}")
    wanted = id_array(f"{name}[{id_column!r}]", given)
    return pa.table(columns), _places(name, wanted, indices, unknown)


def _places(name: str, wanted: np.ndarray, indices: Iterable[IdIndex], unknown: str) -> np.ndarray:
    """Return the row of metadata of each of the model's ids, -1 for those without."""
    places = []
    left = np.arange(len(wanted))  # rows of metadata whose ids were in no index yet
    for ids in indices:
        found = ids.find(wanted[left])
        known, rows = left[found >= 0], found[found >= 0]
        _check_unique(name, ids, rows)
        own = np.full(len(ids.array), -1, dtype=np.int64)
        own[rows] = known
        places.append(own)
        left = left[found < 0]
    missing = wanted[left]
    if missing.size:
        named = ", ".join(map(repr, missing[:NAMED].tolist()))
        if unknown == "error":
            raise DataError(
                f"{name} has {missing.size} ids that the model does not have: {named}"
                f"{', ...' if missing.size > NAMED else ''}; leave them out with unknown='drop'"
            )
        warnings.warn(
            f"{missing.size} rows of {name} are of ids that the model does not have, and are left "
            "out",
            stacklevel=5,
        )
    return np.concatenate(places)


def _check_unique(name: str, ids: IdIndex, rows: np.ndarray) -> None:
    """Refuse several rows of metadata of one id."""
    found, counts = np.unique(rows, return_counts=True)
    if counts.size and counts.max() > 1:
        twice = ids.array[[found[counts.argmax()]]].tolist()[0]
        raise DataError(f"{name} has {counts.max()} rows with the id {twice!r}: keep one")


def _read(name: str, metadata: Any, id_column: str) -> pa.Table:
    if isinstance(metadata, str | os.PathLike):
        return _read_file(Path(metadata), id_column)
    if isinstance(metadata, Mapping):
        try:
            return pa.table({str(key): _array(values) for key, values in metadata.items()})
        except (pa.ArrowException, TypeError, OverflowError, UnicodeEncodeError) as error:
            raise DataError(f"{name} cannot be made a table: {_line(error)}") from error
    if not is_frame(metadata):
        raise TypeError(
            f"{name} must be a data frame, a dict of columns or the path of a table, got "
            f"{type(metadata).__name__}"
        )
    batches = list(frame_batches(name, metadata))
    if not batches:
        raise DataError(f"{name} has no rows")
    return pa.Table.from_batches(batches)


def _array(values: Any) -> Any:
    # A NumPy array of texts is given as a list, which pyarrow takes with any kind of text.
    if isinstance(values, np.ndarray) and values.dtype.kind not in "biufM":
        return pa.array(values.tolist())
    return pa.array(values, from_pandas=True)


def _read_file(path: Path, id_column: str) -> pa.Table:
    extension = path.suffix.lower()
    try:
        if extension in _PARQUET:
            with pyarrow.parquet.ParquetFile(path) as file:
                return file.read(use_threads=False)
        if extension in _DELIMITERS:
            if not can_start_threads(pa.cpu_count() + 2):
                raise OSError(errno.EAGAIN, "no thread can be started to read it")
            # Ids are texts: 007 is not 7.
            return pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=_DELIMITERS[extension], newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(column_types={id_column: pa.string()}),
            )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {path}") from error
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {_line(error)}") from error
    known = ", ".join((*_PARQUET, *_DELIMITERS))
    raise DataError(f"{path} must end in one of {known} to be read as metadata")


def _plain(name: str, column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as one of the few types that all targets know; NaN is nothing."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    wanted = _plain_type(values.type)
    if wanted is None:
        raise DataError(
            f"{name} has a column {column!r} of type {values.type}, which cannot be exported: "
            f"columns hold {COLUMN_TYPES}"
        )
    try:
        values = values.cast(wanted)
    except pa.ArrowInvalid as error:
        raise DataError(f"the column {column!r} of {name}: {_line(error)}") from error
    if pa.types.is_floating(wanted):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, wanted), values)
    return values


def _plain_type(given: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_list(given) or types.is_large_list(given):
        inner = _plain_type(given.value_type)
        return None if inner is None or types.is_list(inner) else pa.list_(inner)
    if types.is_timestamp(given):
        return pa.timestamp("us", tz=given.tz)
    known = {
        pa.int64(): types.is_integer,
        pa.float64(): lambda t: types.is_floating(t) or types.is_decimal(t),
        pa.bool_(): types.is_boolean,
        pa.date32(): types.is_date,
        pa.string(): lambda t: str(t) in ("string", "large_string", "string_view", "null"),
    }
    return next((plain for plain, is_it in known.items() if is_it(given)), None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
