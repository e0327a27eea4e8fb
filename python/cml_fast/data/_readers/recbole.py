"""The format ``recbole``: tables of RecBole, of which the header gives the type of each column.

In features a ``token`` is a category, a ``token_seq`` several of them, separated by spaces, and a
``float`` a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .delimited import TABLE_OPTIONS, TEXT_OPTIONS, read_delimited
from .files import Source
from .pairs import FEATURES, INTERACTIONS, Format

if TYPE_CHECKING:
    from .builder import PairBuilder

_COLUMN = rb"[^\t:]+:(token|token_seq|float|float_seq)"
_TYPE = re.compile(":(token|token_seq|float|float_seq)$")
_HEADER = re.compile(_COLUMN + rb"(\t" + _COLUMN + rb")*")
_INTERACTIONS = {
    "user": "user_id",
    "item": "item_id",
    "rating": "rating",
    "timestamp": "timestamp",
}
_TABS = {"delimiter": "\t", "quoting": "none", "header": True}


def _is_typed(line: bytes) -> bool:
    return _HEADER.fullmatch(line.removeprefix(b"\xef\xbb\xbf").strip()) is not None


def _columns(source: Source) -> list[tuple[str, str]]:
    """Return the name and type of each column."""
    line = source.first_line().removeprefix(b"\xef\xbb\xbf").strip()
    if not _is_typed(line):
        raise DataError(
            f"{source.name} does not begin as files of RecBole do: the first line must have names "
            "and types of columns, separated by tabs, such as 'user_id:token'"
        )
    columns = (column.split(":") for column in line.decode(errors="replace").split("\t"))
    found = [(name, kind) for name, kind in columns]
    names = [name for name, _ in found]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{source.name} has several columns {repeated!r}; rename them")
    return found


def _read_interactions(source: Source, builder: PairBuilder, **options: Any) -> None:
    columns = _columns(source)
    names = {name for name, _ in columns}
    always = ("user", "item")
    known = {role: name for role, name in _INTERACTIONS.items() if role in always or name in names}
    _read(source, builder, columns, {**known, **options})


def _read_features(source: Source, builder: PairBuilder, **options: Any) -> None:
    columns = _columns(source)
    known: dict[str, Any] = {"id": columns[0][0]}
    if not {"tag", "numbers"} & set(options):
        known |= _all_columns(source.name, columns, _untyped(options.get("id", known["id"])))
    separators = {name: " " for name, kind in columns if kind == "token_seq"}
    _read(source, builder, columns, {**known, "separator": separators, **options})


def _all_columns(name: str, columns: list[tuple[str, str]], id: str | int) -> dict[str, Any]:
    """Return all columns but the id as tags and numbers."""
    others = [column for at, column in enumerate(columns) if id not in (column[0], at)]
    tags = [column for column, kind in others if kind in ("token", "token_seq")]
    numbers = [column for column, kind in others if kind == "float"]
    vectors = [column for column, kind in others if kind == "float_seq"]
    if vectors:
        raise DataError(
            f"{name}: column {vectors[0]!r} is a float_seq, which is no list of tags; name the "
            f"columns to read, such as tag={tags} or numbers={numbers}"
        )
    if not others:
        raise DataError(f"{name} has no column besides {id!r}")
    return {role: found for role, found in (("tag", tags), ("numbers", numbers)) if found}


def _read(
    source: Source, builder: PairBuilder, columns: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    names = tuple(name for name, _ in columns)
    given = {role: _untyped(value) for role, value in options.items()}
    read_delimited(source, builder, **{**_TABS, "names": names, **given})


def _untyped(column: Any) -> Any:
    """Return the name of a column, or of several, without types."""
    if isinstance(column, list | tuple):
        return [_untyped(one) for one in column]
    return _TYPE.sub("", column) if isinstance(column, str) else column


_OPTIONS = (*TABLE_OPTIONS, *(option for option in TEXT_OPTIONS if option != "header"))
LIKES = Format("recbole", _read_interactions, _OPTIONS, (".inter",), _is_typed, (INTERACTIONS,))
TAGS = Format("recbole", _read_features, _OPTIONS, (".item", ".user"), _is_typed, (FEATURES,))
