"""The format ``citeulike``: a count and so many ids on each line, which stands for a user or a tag.

users.dat of CiteULike has a line for each user, tag-item.dat one for each tag; tags.dat has the
names of the tags.
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from .files import Source, sources
from .lists import add_lists, integer_lines
from .pairs import FEATURES, INTERACTIONS, Format

if TYPE_CHECKING:
    from .builder import PairBuilder

# Items are numbered from 0 without gaps, or nearly so: a number above this many times the number of
# items listed is no number of an item.
_MOST_GAPS = 1000
_SMALL = 1_000_000


def _read_users(source: Source, builder: PairBuilder, *, count_as_item: bool = False) -> None:
    hint = "; lines that start with a user id are format='adjacency'"
    degrees, items = _read_lists(source, builder.kind.row, count_as_item, hint)
    import pyarrow as pa

    largest = int(items.max(initial=-1))
    if largest > _SMALL + _MOST_GAPS * len(items):
        raise DataError(
            f"{source.name} has an item {largest}, but lists only {len(items)} items; items here "
            "are numbered from 0 without gaps"
        )
    builder.register(builder.kind.column, pa.array(np.arange(largest + 1)))
    add_lists(source, builder, np.arange(len(degrees)), degrees, items, builder.kind.row)


def _read_tags(
    source: Source,
    builder: PairBuilder,
    *,
    names_file: str | os.PathLike[str] | None = None,
    count_as_item: bool = False,
) -> None:
    degrees, objects = _read_lists(source, builder.kind.column, count_as_item)
    add_lists(source, builder, np.arange(len(degrees)), degrees, objects, builder.kind.column)
    if names_file is not None:
        (names,) = (_read_names(file, source.name, len(degrees)) for file in sources(names_file))
        builder.rename(builder.kind.column, names)


def _read_lists(
    source: Source, role: str, count_as_item: bool, hint: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Read lines of ``count id id ...``; return the number of ids of each, and all ids.

    ``role`` says what a line stands for, and ``hint`` what to do if the counts are wrong.
    """
    degrees, flat = array("q"), array("q")
    for line, numbers in integer_lines(source):
        if not numbers:
            raise DataError(f"{source.name}: line {line} is empty; a {role} without items has '0'")
        if numbers[0] != len(numbers) - 1:
            raise DataError(
                f"{source.name}: line {line} says that it has {numbers[0]} items, but has "
                f"{len(numbers) - 1}{hint}"
            )
        listed = numbers if count_as_item else numbers[1:]
        degrees.append(len(listed))
        flat.extend(listed)
    return np.array(degrees), np.array(flat, dtype=np.int64)


def _read_names(file: Source, lists: str, n_lists: int) -> list[str]:
    """Read one name a line, each for the same line of the file ``lists``."""
    path, known = file.name, dict[str, int]()
    lines = file.read().split(b"\n")
    for line, text in enumerate(lines[:-1] if not lines[-1] else lines, 1):
        try:
            name = text.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: line {line} is not UTF-8 text") from error
        if not name:
            raise DataError(f"{path}: line {line} is empty; every tag needs a name")
        if known.setdefault(name, line) != line:
            raise DataError(f"{path}: line {line} repeats the name {name!r} of line {known[name]}")
    if len(known) != n_lists:
        raise DataError(
            f"{path} has {len(known)} names, but {lists} has {n_lists} lines; each line must have "
            "its tag's name in the same place"
        )
    return list(known)


# Lists of users are not told from adjacency lists: a line "1 2" may be either.
USERS = Format("citeulike", _read_users, options=("count_as_item",), kinds=(INTERACTIONS,))
TAGS = Format(
    "citeulike",
    _read_tags,
    options=("names_file", "count_as_item"),
    extensions=(".dat",),
    kinds=(FEATURES,),
)
