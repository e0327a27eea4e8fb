"""The format ``jsonl``: an object of JSON on each line, with the columns of a table as its keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..._memory import check_room_for_lines
from .delimited import TABLE_OPTIONS, check_encoding
from .files import Source
from .pairs import Format

if TYPE_CHECKING:
    from .builder import PairBuilder
    from .report import Tally
    from .tables import Rows
    from .text import Block

# From here on a float64 stands for several whole numbers.
_INEXACT = 2.0**53
# Columns in which true and false are values, not mistakes.
_MAY_BE_BOOLEAN = ("where ", "numbers ")
_IDS = ("user", "item", "id", "tag")


def _read(source: Source, builder: PairBuilder, *, encoding: str = "utf-8", **columns: Any) -> None:
    from .tables import Rows  # only now, because pyarrow is slow to load
    from .tags import take_tags
    from .text import line_blocks

    check_encoding(encoding)
    for role, column in take_tags(columns)[0].items():
        if not isinstance(column, str):
            raise ValueError(f"{role}={column!r} is a position; columns of jsonl are keys of text")
    rows: Rows | None = None
    wanted: dict[str, str] = {}
    for block in _pieces(line_blocks(source, encoding)):
        check_room_for_lines(source.name, block.data.count(b"\n"), len(block.data))
        records, faults = _records(block, builder.tally)
        if rows is None and records:
            keys = list(dict.fromkeys(_shown(key) for one in records.values() for key in one))
            rows = Rows(source.name, keys, True, columns, builder, source.columns)
            wanted = {role: keys[at] for role, at in rows.positions.items()}
        good: dict[int, list[str | None]] = {}
        for line, record in records.items():
            try:
                good[line] = [_text(role, key, record.get(key)) for role, key in wanted.items()]
            except ValueError as error:
                faults[line] = str(error)
        # The rows before the first bad line first, because they may be bad for other reasons.
        first = min(faults) if faults and builder.tally.first_bad is None else 0
        _add(rows, wanted, {line: values for line, values in good.items() if line < first})
        for line in sorted(faults):
            builder.tally.bad_line(f"{source.name}: line {line}", faults[line])
        _add(rows, wanted, {line: values for line, values in good.items() if line >= first})


def _pieces(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the lines of blocks, fewer at a time: their objects take many times as much."""
    from .text import PIECE_BYTES, Block, piece_end

    for line, data, is_last in blocks:
        begin = 0
        while begin < len(data):
            end = piece_end(data, begin + PIECE_BYTES)
            piece = data[begin:end]
            yield Block(line, piece, is_last and end == len(data))
            line, begin = line + piece.count(b"\n"), end


def _records(block: Block, tally: Tally) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Return the objects of a block by line, and what is wrong with the other lines."""
    records, faults = {}, {}
    for number, line in enumerate(block.data.split(b"\n")[:-1], block.first_line):
        tally.lines += 1
        if not line.strip():
            tally.empty += 1
            continue
        try:
            records[number] = _object(line)
        except ValueError as error:
            faults[number] = str(error)
    return records, faults


def _add(rows: Rows | None, roles: Iterable[str], values: dict[int, list[str | None]]) -> None:
    """Add rows, given by line."""
    import pyarrow as pa

    if rows is not None and values:
        lines = list(values)
        columns = zip(*values.values(), strict=True)
        arrays = {role: pa.array(c, pa.string()) for role, c in zip(roles, columns, strict=True)}
        rows.add(arrays, lambda row: f"line {lines[row]}")


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


def _text(role: str, key: str, value: Any) -> str | None:
    """Return a value as text; a ValueError says why it is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        if not role.startswith(_MAY_BE_BOOLEAN):
            raise ValueError(f"has a bad {key}: {str(value).lower()} is neither a number nor text")
        return str(value).lower() if role.startswith("where ") else str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < _INEXACT:
            return str(int(value))
        if role.startswith(_IDS):
            raise ValueError(f"has a bad {key}: {value} is not a whole number")
        return repr(value)
    if not isinstance(value, str):
        raise ValueError(f"has a bad {key}: it is nested, not a number or text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"has a bad {key}: it has half of a character of two parts") from None
    return value


def _shown(key: str) -> str:
    """Return a key as text that can be written anywhere."""
    return key.encode(errors="backslashreplace").decode()


JSONL = Format("jsonl", _read, (*TABLE_OPTIONS, "encoding"), extensions=(".jsonl", ".ndjson"))
