"""The format ``jsonl``: an object of JSON on each line, with the columns of a table as its keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .delimited import TABLE_OPTIONS, check_encoding
from .files import Source
from .pairs import Format

if TYPE_CHECKING:
    from .builder import PairBuilder

# From here on a float64 stands for several whole numbers.
INEXACT = 2.0**53
# Columns in which true and false are values, not mistakes.
_MAY_BE_BOOLEAN = ("where ", "numbers ")
_IDS = ("user", "item", "id", "tag")


def _read(source: Source, builder: PairBuilder, *, encoding: str = "utf-8", **columns: Any) -> None:
    import pyarrow as pa  # only now, because pyarrow is slow to load

    from .tables import Rows
    from .tags import take_tags
    from .text import line_blocks

    check_encoding(encoding)
    for role, column in take_tags(columns)[0].items():
        if not isinstance(column, str):
            raise ValueError(f"{role}={column!r} is a position; columns of jsonl are keys of text")
    tally = builder.tally
    reader: Rows | None = None
    for block in line_blocks(source, encoding):
        records, numbers, faults = [], [], []
        lines = block.data.split(b"\n")[:-1]
        for number, line in enumerate(lines, block.first_line):
            tally.lines += 1
            if not line.strip():
                tally.empty += 1
                continue
            try:
                records.append(_object(line))
                numbers.append(number)
            except ValueError as error:
                faults.append((number, str(error)))
        if records and reader is None:
            keys = list(dict.fromkeys(_shown(key) for record in records for key in record))
            reader = Rows(source.name, keys, True, columns, builder, source.columns)
            wanted = {role: keys[at] for role, at in reader.positions.items()}
        if reader is not None:
            table, bad = _values(records, numbers, wanted)
            faults = sorted([*faults, *bad.items()])
            good = [at for at, number in enumerate(numbers) if number not in bad]
        # The rows before the first bad line first, because they may be bad for other reasons.
        first_fault = faults[0][0] if faults and tally.first_bad is None else 0
        if reader is not None:
            before = [at for at in good if numbers[at] < first_fault]
            _add(reader, table, numbers, before, pa)
            good = good[len(before) :]
        for number, what in faults:
            tally.bad_line(f"{source.name}: line {number}", what)
        if reader is not None:
            _add(reader, table, numbers, good, pa)


def _add(
    reader: Any, table: dict[str, list[str | None]], numbers: list[int], rows: list[int], pa: Any
) -> None:
    """Add some rows of a block."""
    if rows:
        arrays = {
            role: pa.array([values[at] for at in rows], pa.string())
            for role, values in table.items()
        }
        reader.add(arrays, lambda row: f"line {numbers[rows[row]]}")


def _object(line: bytes) -> dict[str, Any]:
    """Return the object on a line; a ValueError says what is wrong with it."""
    try:
        value = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text; if it is in another encoding, pass it") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError('is no JSON object such as {"user": 1, "item": 2}')
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _values(
    records: list[dict[str, Any]], numbers: list[int], columns: dict[str, str]
) -> tuple[dict[str, list[str | None]], dict[int, str]]:
    """Return the values of each column as text, and what is wrong with which lines."""
    bad: dict[int, str] = {}
    table: dict[str, list[str | None]] = {}
    for role, key in columns.items():
        values = table[role] = []
        for number, record in zip(numbers, records, strict=True):
            try:
                values.append(_text(role, record.get(key)))
            except ValueError as error:
                values.append(None)
                bad.setdefault(number, f"has a bad {key}: {error}")
    return table, bad


def _text(role: str, value: Any) -> str | None:
    """Return a value as text; a ValueError says why it is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        if not role.startswith(_MAY_BE_BOOLEAN):
            raise ValueError(f"{str(value).lower()} is neither a number nor text")
        return str(value).lower() if role.startswith("where ") else str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < INEXACT:
            return str(int(value))
        if role.startswith(_IDS):
            raise ValueError(f"{value} is not a whole number")
        return repr(value)
    if not isinstance(value, str):
        raise ValueError("it is nested, not a number or text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("it is half of a surrogate pair, which is no character") from None
    return value


def _shown(key: str) -> str:
    """Return a key as text that can be written anywhere."""
    return key.encode(errors="backslashreplace").decode()


JSONL = Format("jsonl", _read, (*TABLE_OPTIONS, "encoding"), extensions=(".jsonl", ".ndjson"))
