"""Columns of a table as ids, numbers and times: conversions of Arrow arrays of whatever type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..._memory import check_room
from ...errors import DataError

# From here on a float64 stands for several whole numbers.
_INEXACT = 2.0**53
# What Python takes for a value and what is made of it, besides 8 times its bytes.
_BYTES_FOR_A_VALUE = 256


class Converted(NamedTuple):
    """The values of a column, and which rows could not be converted and why.

    Attributes
    ----------
    values : numpy.ndarray, (n_rows,)
        Of numbers and times; what stands at a bad or missing row has no meaning.
    is_missing, is_bad : numpy.ndarray, (n_rows,), bool
    what : str
        What is wrong with the bad ones.
    text : pyarrow.Array of string, (n_rows,)
        Of ids, which have no values.
    """

    values: np.ndarray
    is_missing: np.ndarray
    is_bad: np.ndarray
    what: str
    text: pa.Array = None


def as_ids(role: str, column: pa.Array, missing: frozenset[str] = frozenset()) -> Converted:
    """Return ids as text without spaces around it; whole numbers in any type are such ids.

    Text that is empty or one of ``missing`` is missing, as null and NaN are.

    Raises
    ------
    DataError
        If ids cannot be of this type.
    """
    kind = column.type
    bad = np.zeros(len(column), dtype=bool)
    what = "is not UTF-8 text"
    if pa.types.is_integer(kind):
        text = column.cast(pa.string())
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        what = "is not a whole number"
        text, bad = _whole_numbers(column)
    elif pa.types.is_null(kind):
        text = pa.nulls(len(column), pa.string())
    elif _is_text(kind) or _is_binary(kind):
        text, bad = _utf8(column)
        text = pc.utf8_trim_whitespace(text)
    else:
        raise DataError(f"column of {role} ids has type {kind}; ids are integers or text")
    is_missing = _as_numpy(pc.is_null(text))
    if _is_text(kind) or _is_binary(kind):
        stands_for_none = pc.is_in(text, value_set=pa.array(["", *missing]))
        is_missing |= _as_numpy(stands_for_none.fill_null(False))
    return Converted(np.empty(0), is_missing & ~bad, bad, what, text)


def as_numbers(role: str, column: pa.Array) -> Converted:
    """Return numbers as float64. Those that are infinite in single precision are bad."""
    if _is_text(column.type) or _is_binary(column.type):
        text, _ = _utf8(column)
        values = _parse_numbers(text)
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = column.cast(pa.float64(), safe=False)
    elif pa.types.is_decimal(column.type) or pa.types.is_boolean(column.type):
        values = (
            column.cast(pa.float64())
            if pa.types.is_decimal(column.type)
            else column.cast(pa.uint8()).cast(pa.float64())
        )
    elif pa.types.is_null(column.type):
        values = pa.nulls(len(column), pa.float64())
    else:
        raise DataError(f"column {role} has type {column.type}; it must hold numbers")
    numbers = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(numbers.astype(np.float32))
    return Converted(numbers, np.zeros(len(bad), dtype=bool), bad, "is not a finite number")


def as_times(role: str, column: pa.Array) -> Converted:
    """Return moments as int64 or float64, as they are, or dates and times as datetime64[us]."""
    kind = column.type
    none = np.zeros(len(column), dtype=bool)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        bad = _as_numpy(pc.is_null(column))
        naive = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
        times = naive.cast(pa.timestamp("us")) if getattr(kind, "tz", None) else naive
        return Converted(times.to_numpy(zero_copy_only=False), none, bad, "is missing")
    if not (_is_text(kind) or _is_binary(kind)):
        if pa.types.is_integer(kind) and column.null_count == 0:
            try:
                return Converted(column.cast(pa.int64()).to_numpy(), none, none, "")
            except pa.ArrowInvalid:
                pass
        return as_numbers(role, column)
    text, _ = _utf8(column)
    text = pc.utf8_trim_whitespace(text)
    try:
        return Converted(text.cast(pa.int64()).fill_null(0).to_numpy(), none, none, "")
    except pa.ArrowInvalid:
        pass
    for time_zone in (None, "UTC"):
        try:
            times = text.cast(pa.timestamp("us", time_zone)).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
        return Converted(times.to_numpy(zero_copy_only=False), none, none, "")
    numbers = as_numbers(role, text)
    if numbers.is_bad.all():
        numbers = _parse_times(text)
    what = "is neither a number nor a time like 2024-01-31 or 2024-01-31T12:00:00Z"
    return numbers._replace(what=what)


def values_of(role: str, column: pa.Array) -> pa.Array:
    """Return the values of any column as text, to compare them with.

    Raises
    ------
    DataError
        If values of this type have no text.
    """
    if _is_binary(column.type) or _is_text(column.type):
        return _utf8(column)[0]
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {role} has type {column.type}; it must hold text or numbers"
        ) from error


def is_blank(column: pa.Array, missing: frozenset[str] = frozenset()) -> np.ndarray:
    """Return which values are null, NaN, empty text or one of the texts ``missing``."""
    if pa.types.is_floating(column.type):
        return _as_numpy(pc.is_null(column, nan_is_null=True))
    blank = _as_numpy(pc.is_null(column))
    if _is_text(column.type) or _is_binary(column.type):
        text = pc.utf8_trim_whitespace(_utf8(column)[0])
        stands_for_none = pc.is_in(text, value_set=pa.array(["", *missing]))
        blank |= _as_numpy(stands_for_none.fill_null(False))
    return blank


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def shown(column: pa.Array, row: int) -> str:
    """Return a value for a message, whatever it is."""
    value = column[row]
    try:
        return repr(value.as_py())
    except UnicodeDecodeError:
        return repr(column.slice(row, 1).cast(pa.binary())[0].as_py())
    except (ValueError, OverflowError):  # a time that Python has not
        return str(column.slice(row, 1).cast(pa.string())[0])


def check_column(role: str, column: pa.Array) -> pa.Array:
    """Return a column, unless it refers to memory that is not its own.

    Arrow takes offsets and the codes of dictionaries on trust when it opens a file or a frame, and
    follows them later. Text that is not UTF-8 is no such fault: it is that of one row.

    Raises
    ------
    DataError
        If it does.
    """
    try:
        column.view(_as_binary(column.type)).validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowIndexError) as error:
        raise DataError(f"column of {role} is damaged: {error}") from error
    return column


def _as_binary(kind: pa.DataType) -> pa.DataType:
    """Return a type of the same memory with bytes in the place of text."""
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _as_binary(kind.value_type), kind.ordered)
    if pa.types.is_list(kind):
        return pa.list_(_as_binary(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_binary(kind.value_type))
    if str(kind) == "string_view":
        return pa.binary_view()
    if _is_text(kind):
        return pa.large_binary() if _is_large(kind) else pa.binary()
    return kind


def plain(column: pa.Array) -> pa.Array:
    """Return a column without a dictionary or views, which not all functions of Arrow know."""
    if pa.types.is_dictionary(column.type):
        return plain(column.dictionary).take(column.indices)
    if str(column.type) == "string_view":
        return column.cast(pa.string())
    if str(column.type) == "binary_view":
        return column.cast(pa.binary())
    return column


def _objects(column: pa.Array) -> list[Any]:
    """Return the values of a column as objects of Python, for which room is looked for before."""
    check_room("a column of mixed values", len(column) * _BYTES_FOR_A_VALUE + 8 * column.nbytes)
    return column.to_pylist()  # type: ignore[no-any-return]


def _as_numpy(column: pa.Array) -> np.ndarray:
    array: np.ndarray = column.to_numpy(zero_copy_only=False).astype(bool)
    return array


def _utf8(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return text or bytes as text, and which rows are not UTF-8."""
    bad = np.zeros(len(column), dtype=bool)
    try:
        column.validate(full=True)  # a Parquet file may call text what is not
        return column.cast(pa.string()), bad
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        column = column.cast(pa.large_binary() if _is_large(column.type) else pa.binary())
        texts: list[str | None] = []
        for at, value in enumerate(_objects(column)):
            try:
                texts.append(value.decode() if isinstance(value, bytes) else value)
            except UnicodeDecodeError:
                texts.append(None)
                bad[at] = True
        return pa.array(texts, pa.string()), bad


def _whole_numbers(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return whole numbers as text; NaN is null. Bad ones have a fraction or are too large."""
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    largest = pc.max(pc.abs(column)).as_py()
    try:
        if isinstance(largest, float) and largest >= _INEXACT:
            raise pa.ArrowInvalid
        return column.cast(pa.int64()).cast(pa.string()), np.zeros(len(column), dtype=bool)
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    bad = np.zeros(len(column), dtype=bool)
    for at, value in enumerate(_objects(column)):
        is_whole = value is not None and abs(value) != float("inf") and value == int(value)
        is_exact = is_whole and (not isinstance(value, float) or abs(value) < _INEXACT)
        bad[at] = value is not None and not is_exact
        texts.append(str(int(value)) if is_exact else None)
    return pa.array(texts, pa.string()), bad


def _parse_numbers(text: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(text)
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.array([_number(value) for value in _objects(text)], pa.float64())


def _number(text: str | None) -> float | None:
    try:
        return pa.scalar(text, pa.string()).cast(pa.float64()).as_py()  # type: ignore[no-any-return]
    except pa.ArrowInvalid:
        return None


def _parse_times(text: pa.Array) -> Converted:
    """Return times one by one, where not all of them are of one form."""
    times = np.zeros(len(text), dtype="datetime64[us]")
    bad = np.zeros(len(text), dtype=bool)
    for at in range(len(text)):
        for time_zone in (None, "UTC"):
            try:
                one = text[at : at + 1].cast(pa.timestamp("us", time_zone))
            except pa.ArrowInvalid:
                continue
            times[at] = one.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)[0]
            break
        else:
            bad[at] = True
    return Converted(times, np.zeros(len(text), dtype=bool), bad, "")
