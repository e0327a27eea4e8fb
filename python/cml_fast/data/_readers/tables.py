"""Tables with a pair of ids a row, text or Parquet, read by pyarrow.

Only functions that read such a table import this module: pyarrow is slow to load.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..._validation.scalars import check_int, check_real
from ...errors import DataError
from .files import reading
from .pairs import PairKind, Pairs, drop_unused, stack_level
from .text import TextTable, is_utf8

# The columns to read, by name or position, by role: first the two with the ids of a pair, such as
# user and item, then perhaps those with numbers.
Columns = dict[str, str | int]
_NUMBERS = ("rating", "weight")


class _Rules(NamedTuple):
    """Which rows of a table count, and what they may hold."""

    min_rating: float | None
    signed: bool  # weights may be negative
    may_be_blank: str | None  # the role whose ids may be empty text


def read_text(
    text: TextTable,
    kind: PairKind,
    *,
    min_rating: float | None = None,
    may_be_blank: str | None = None,
    **columns: str | int,
) -> Pairs:
    """Read a table that is text.

    ``columns`` are given by role; the default columns of the two ids are named as their roles, or
    are the first two where there is no header.
    """
    _check_rating(columns, min_rating)
    defaults: Columns = (
        {kind.row: kind.row, kind.column: kind.column}
        if text.header
        else {kind.row: 0, kind.column: 1}
    )
    rules = _Rules(min_rating, kind.matrix.signed, may_be_blank)
    with reading(text.path, "a table", (pa.ArrowException,)):
        table = _parse_text(text, defaults | columns)
        return _keep_pairs(text.path, table, text.place, rules)


def read_parquet(
    path: Path, kind: PairKind, *, min_rating: float | None = None, **columns: str | int
) -> Pairs:
    """Read a Parquet table; ``columns`` are given by role."""
    _check_rating(columns, min_rating)
    wanted = {kind.row: kind.row, kind.column: kind.column} | columns
    rules = _Rules(min_rating, kind.matrix.signed, may_be_blank=None)
    with reading(path, "parquet", (pa.ArrowException,)):
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        positions = _positions(path, names, True, wanted)
        read = file.read(columns=[names[at] for at in positions.values()])
        table = {role: read[names[at]] for role, at in positions.items()}
        return _keep_pairs(path, table, lambda row: f"row {row}", rules)


def _check_rating(columns: Columns, min_rating: float | None) -> None:
    """Refuse a rating without a threshold, or a threshold without ratings."""
    if min_rating is not None:
        check_real("min_rating", min_rating, -np.finfo(float).max)
        if "rating" not in columns:
            raise ValueError("min_rating needs rating, the column to compare with it")
    elif "rating" in columns:
        raise ValueError("rating needs min_rating, the least rating that counts as a like")


def _parse_text(text: TextTable, columns: Columns) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a table by role; ids are dictionary-encoded."""
    path, delimiter, quoted, header = text
    first_line, first = next(text.records(), (0, []))
    if not first:
        raise DataError(f"{path} has only empty lines")
    if not is_utf8(first):
        raise DataError(f"{path}: line {first_line} is not UTF-8 text")
    by_position = any(isinstance(column, int) for column in columns.values())
    if header and by_position and all(name.strip().isdigit() for name in first):
        raise DataError(
            f"{path}: line {first_line} holds numbers, not the names of columns; if there is no "
            "header, pass header=False, else give the columns by name"
        )
    positions = _positions(path, [name.strip() for name in first], header, columns)
    # pyarrow's delimiters have one character, so "::" is read as ":" with empty columns between.
    step = len(delimiter)
    width = step * (len(first) - 1) + 1
    types = {str(at): pa.null() for at in range(width) if at % step}
    for role, at in positions.items():
        # Ids are read as text, to keep them as they are, and coded while they are read.
        is_number = role in _NUMBERS
        types[str(step * at)] = (
            pa.float64() if is_number else pa.dictionary(pa.int32(), pa.string())
        )
    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(
                column_names=[str(at) for at in range(width)],
                skip_rows=first_line if header else 0,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter[0],
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
            ),
            pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(types)),
        )
    except pa.ArrowInvalid as error:
        fault = _first_bad_line(text, len(first), positions) or error
        raise DataError(f"{path}: {fault}") from error
    return {role: table[str(step * at)] for role, at in positions.items()}


def _positions(path: Path, names: list[str], header: bool, columns: Columns) -> dict[str, int]:
    """Return the position of each column asked for."""
    listing = ", ".join(names) if header else f"{len(names)}, counted from 0"
    positions: dict[str, int] = {}
    for role, column in columns.items():
        if isinstance(column, str):
            if not header:
                raise ValueError(
                    f"{role}={column!r} is a name, but there is no header; give a position"
                )
            if names.count(column) != 1:
                what = "several columns" if column in names else "no column"
                raise DataError(
                    f"{path} has {what} {column!r}; the columns are: {listing}. "
                    f"Name the right one with {role}="
                )
            positions[role] = names.index(column)
        else:
            positions[role] = check_int(role, column, 0)
            if positions[role] >= len(names):
                raise DataError(f"{path} has no column {column}; the columns are: {listing}")
    for one, other in combinations(positions, 2):
        if positions[one] == positions[other] and {one, other} != set(_NUMBERS):
            raise ValueError(f"{one} and {other} are the same column: {columns[one]!r}")
    return positions


def _first_bad_line(text: TextTable, width: int, positions: dict[str, int]) -> str | None:
    """Say where and what the fault is that made pyarrow refuse the file."""
    for line, fields in islice(text.records(), int(text.header), None):
        if len(fields) != width:
            return f"line {line} has {len(fields)} fields, expected {width}"
        if not is_utf8([fields[at] for at in positions.values()]):
            return f"line {line} is not UTF-8 text"
        for role in _NUMBERS:
            if role in positions:
                try:
                    pa.scalar(fields[positions[role]].strip()).cast(pa.float64())
                except pa.ArrowInvalid:
                    return f"line {line}: {role} {fields[positions[role]]!r} is not a number"
    return None


def _keep_pairs(
    path: Path,
    table: dict[str, pa.ChunkedArray],
    place: Callable[[int], str],
    rules: _Rules,
) -> Pairs:
    """Check the rows of a table, and keep those that count."""
    roles = [role for role in table if role not in _NUMBERS]
    n_rows = len(table[roles[0]])
    if not n_rows:
        raise DataError(f"{path} has no rows")
    faults: list[tuple[np.ndarray, str, str]] = []
    coded, values = [], {}
    for role in roles:
        codes, ids, is_blank = _factorize(path, role, table[role])
        coded.append((codes, ids))
        if role != rules.may_be_blank:
            faults.append((is_blank, role, "is empty"))
    for role in _NUMBERS:
        if role in table:
            values[role] = table[role].cast(pa.float64()).to_numpy()
            with np.errstate(over="ignore"):
                is_not_finite = ~np.isfinite(values[role].astype(np.float32))
            faults.append((is_not_finite, role, "is not finite"))
    if "weight" in values and not rules.signed:
        faults.append((values["weight"] < 0, "weight", "is negative"))
    found = [(int(fault.argmax()), role, what) for fault, role, what in faults if fault.any()]
    if found:
        row, role, what = min(found)
        raise DataError(f"{path}: {place(row)}: {role} {table[role][row].as_py()!r} {what}")

    keep = np.ones(n_rows, dtype=bool)
    if rules.min_rating is not None:
        rating = values["rating"]
        keep = rating >= rules.min_rating
        if not keep.any():
            raise DataError(
                f"{path}: no rating is at least min_rating={rules.min_rating:g}; they go from "
                f"{rating.min():g} to {rating.max():g}"
            )
    weights = None
    if "weight" in values:
        weights = values["weight"].astype(np.float32)
        zeros = np.count_nonzero(keep & (weights == 0))
        keep &= weights != 0
        weights = weights[keep]
        if zeros:
            warnings.warn(
                f"{path}: {zeros} rows of weight 0 were dropped (a zero is the same as no row)",
                stacklevel=stack_level(),
            )
    (rows, row_ids), (columns, column_ids) = (drop_unused(codes[keep], ids) for codes, ids in coded)
    return Pairs(rows, row_ids, columns, column_ids, weights)


def _factorize(
    path: Path, role: str, column: pa.ChunkedArray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes (n_rows,) int32, the id of each code, and which rows have no id."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    coded = column.combine_chunks()  # gives the chunks one dictionary
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    values = coded.dictionary
    if pa.types.is_integer(values.type):
        return codes, values.cast(pa.int64()).to_numpy(), codes < 0
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise DataError(
            f"{path}: column of {role} ids has type {values.type}; ids are integers or strings"
        )
    text = pc.utf8_trim_whitespace(values.cast(pa.string()).fill_null(""))
    blank = np.append(pc.equal(text, "").to_numpy(zero_copy_only=False), True)  # [-1]: null
    is_blank = blank[codes] if blank[:-1].any() else codes < 0
    try:
        numbers = text.cast(pa.int64())
        if numbers.cast(pa.string()).equals(text):  # not so with leading zeros: those are names
            return codes, numbers.to_numpy(), is_blank
    except pa.ArrowInvalid:
        pass
    return codes, text.to_numpy(zero_copy_only=False).astype(str), is_blank
