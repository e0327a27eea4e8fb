"""The format ``citeulike``: a count and so many ids on each line, which stands for a user or a tag.

users.dat of CiteULike has a line for each user, tag-item.dat one for each tag; tags.dat has the
names of the tags.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import numpy as np

from ..._validation.matrices import MAX_OBJECTS
from ...errors import DataError
from .files import check_not_empty, open_binary, reading
from .pairs import FEATURES, INTERACTIONS, Format, PairKind, Pairs, drop_unused
from .text import integer_lines


def _read_users(path: Path, kind: PairKind, *, count_as_item: bool = False) -> Pairs:
    hint = "; lines that start with a user id are format='adjacency'"
    return _read_lists(path, kind.row, count_as_item, hint)


def _read_tags(
    path: Path,
    kind: PairKind,
    *,
    names_file: str | os.PathLike[str] | None = None,
    count_as_item: bool = False,
) -> Pairs:
    lists = _read_lists(path, kind.column, count_as_item)
    names = lists.row_ids
    if names_file is not None:
        names = _read_names(Path(names_file), path, len(names))
    objects, object_ids = drop_unused(lists.columns, lists.column_ids)
    return Pairs(objects, object_ids, lists.rows, names)


def _read_lists(path: Path, role: str, count_as_item: bool, hint: str = "") -> Pairs:
    """Read lines of ``count id id ...``; the lines are numbered from 0, and each is a row.

    ``role`` says what a line stands for, and ``hint`` what to do if the counts are wrong.
    """
    degrees, flat = array("q"), array("q")
    for line, numbers in integer_lines(path):
        if not numbers:
            raise DataError(f"{path}: line {line} is empty; a {role} without items has '0'")
        if numbers[0] != len(numbers) - 1:
            raise DataError(
                f"{path}: line {line} says that it has {numbers[0]} items, but has "
                f"{len(numbers) - 1}{hint}"
            )
        listed = numbers if count_as_item else numbers[1:]
        degrees.append(len(listed))
        flat.extend(listed)
    items = np.array(flat, dtype=np.int64)
    largest = int(items.max(initial=-1))
    if largest >= MAX_OBJECTS:
        raise DataError(f"{path}: item {largest} is above the limit {MAX_OBJECTS - 1}")
    line_ids = np.arange(len(degrees), dtype=np.int64)
    item_ids = np.arange(largest + 1, dtype=np.int64)
    return Pairs(np.repeat(line_ids, degrees), line_ids, items, item_ids)


def _read_names(path: Path, lists: Path, n_lists: int) -> np.ndarray:
    """Read one name a line, each for the same line of the file ``lists``."""
    check_not_empty(path)
    lines: dict[str, int] = {}
    with reading(path, "names"), open_binary(path) as file:
        for line, text in enumerate(file, 1):
            try:
                name = text.decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: line {line} is not UTF-8 text") from error
            if not name:
                raise DataError(f"{path}: line {line} is empty; every tag needs a name")
            if lines.setdefault(name, line) != line:
                raise DataError(
                    f"{path}: line {line} repeats the name {name!r} of line {lines[name]}"
                )
    if len(lines) != n_lists:
        raise DataError(
            f"{path} has {len(lines)} names, but {lists} has {n_lists} lines; each line must have "
            "its tag's name in the same place"
        )
    return np.array(list(lines), dtype=str)


# Lists of users are not told from adjacency lists: a line "1 2" may be either.
USERS = Format("citeulike", _read_users, options=("count_as_item",), kinds=(INTERACTIONS,))
TAGS = Format(
    "citeulike",
    _read_tags,
    options=("names_file", "count_as_item"),
    extensions=(".dat",),
    kinds=(FEATURES,),
)
