"""Tags from several columns of a table, or several tags in one field: a row for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .columns import as_ids, as_numbers, is_blank, plain, values_of

# The roles of the columns that tags come from, where "tag" alone does not do.
CATEGORY, NUMBER = "tag ", "numbers "


class TagColumns(NamedTuple):
    """The roles of the columns that tags come from.

    Attributes
    ----------
    categories : tuple of str
        Columns whose values are tags.
    numbers : tuple of str
        Columns of numbers: the tag is the name of the column, and the number is its weight.
    separators : dict of str to str
        What stands between several tags in one field of a category, by role.
    """

    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    separators: dict[str, str]

    @property
    def roles(self) -> tuple[str, ...]:
        return (*self.categories, *self.numbers)


class Fault(NamedTuple):
    """What is wrong with some rows.

    Attributes
    ----------
    rows : numpy.ndarray, (n_rows,), bool
    label : str
        The name of the column.
    what : str
    values : pyarrow.Array, (n_rows,)
    """

    rows: np.ndarray
    label: str
    what: str
    values: pa.Array


class TagRows(NamedTuple):
    """A row for each tag.

    Attributes
    ----------
    columns : dict of str to pyarrow.Array, (n_tags,)
        By role, as `PairBuilder.add` takes them.
    parents : numpy.ndarray, (n_tags,), int64
        The row of the table that each of them comes from, ascending.
    faults : list of Fault
    """

    columns: dict[str, pa.Array]
    parents: np.ndarray
    faults: list[Fault]


def take_tags(columns: Mapping[str, Any]) -> tuple[dict[str, str | int], TagColumns | None]:
    """Return the columns by role, and which of them have the tags if that is not just "tag"."""
    single = dict(columns)
    tag, numbers = single.pop("tag", None), single.pop("numbers", None)
    separator = single.pop("separator", None)
    if numbers is None and separator is None and not isinstance(tag, list | tuple):
        return dict(columns), None
    if numbers is not None and "weight" in columns:
        raise ValueError("weight has no meaning with numbers, which are weights themselves")
    categories: tuple[str, ...] = ()
    if isinstance(tag, list | tuple):
        categories = _several("tag", tag, CATEGORY, single)
    elif tag is not None or numbers is None:
        categories = ("tag",)
        single |= {} if tag is None else {"tag": tag}
    of_numbers = _several("numbers", numbers, NUMBER, single) if numbers is not None else ()
    by_role = {role: _separator(separator, single.get(role, "tag")) for role in categories}
    separators = {role: sign for role, sign in by_role.items() if sign is not None}
    return single, TagColumns(categories, of_numbers, separators)


def _separator(given: Any, column: str | int) -> str | None:
    """Return the separator of a column, which may be one for all of them."""
    separator = given.get(column) if isinstance(given, Mapping) else given
    if separator is not None and not (isinstance(separator, str) and separator):
        raise ValueError(f"separator must be text that stands between tags, got {separator!r}")
    return separator


def _several(
    argument: str, given: Any, begin: str, columns: dict[str, str | int]
) -> tuple[str, ...]:
    """Add columns, each with a role of its own, and return the roles."""
    if not isinstance(given, list | tuple) or not given:
        raise TypeError(f"{argument} must be a list of columns such as ['a', 'b'], got {given!r}")
    roles = []
    for column in given:
        if not isinstance(column, str | int) or given.count(column) > 1:
            raise ValueError(f"{argument} must be a list of different columns, got {given!r}")
        roles.append(f"{begin}{column}")
        columns[roles[-1]] = column
    return tuple(roles)


def tag_rows(
    arrays: Mapping[str, pa.Array],
    tags: TagColumns,
    labels: Mapping[str, str],
    missing: frozenset[str],
) -> TagRows:
    """Return a row for each tag; a row of the table without any gives one with a missing tag.

    ``arrays`` are the columns of a table by role, and ``labels`` their names.
    """
    others = {role: column for role, column in arrays.items() if role not in tags.roles}
    n_rows = len(next(iter(arrays.values())))
    parts = []
    for role in tags.categories:
        prefix = f"{labels[role]}=" if len(tags.roles) > 1 else ""
        parts.append(
            _of_category(
                plain(arrays[role]), labels[role], prefix, tags.separators.get(role), missing
            )
        )
    for role in tags.numbers:
        parts.append(_of_numbers(plain(arrays[role]), labels[role], missing))
    has_tag = np.zeros(n_rows, dtype=bool)
    for part in parts:
        has_tag[part.parents] = True
    without = np.flatnonzero(~has_tag)
    parts.append(_Part(without, pa.nulls(len(without), pa.string()), np.ones(len(without))))
    parents = np.concatenate([part.parents for part in parts])
    order = np.argsort(parents, kind="stable")
    take = pa.array(order)
    rows = pa.array(parents[order])
    columns = {role: column.take(rows) for role, column in others.items()}
    columns["tag"] = pa.concat_arrays([part.tags for part in parts]).take(take)
    if tags.numbers:
        weights = np.concatenate([part.weights for part in parts])
        columns["weight"] = pa.array(weights[order])
    faults = [
        Fault(fault.rows[parents[order]], fault.label, fault.what, fault.values.take(rows))
        for part in parts
        for fault in part.faults
        if fault.rows.any()
    ]
    return TagRows(columns, parents[order], faults)


def is_list(column: pa.Array) -> bool:
    """Whether each value of a column is a list."""
    return bool(pa.types.is_list(column.type) or pa.types.is_large_list(column.type))


class _Part(NamedTuple):
    """The tags of one column; its faults are those of the rows of the table."""

    parents: np.ndarray
    tags: pa.Array
    weights: np.ndarray
    faults: tuple[Fault, ...] = ()


def _of_category(
    column: pa.Array, label: str, prefix: str, separator: str | None, missing: frozenset[str]
) -> _Part:
    parents, flat = np.arange(len(column)), column
    if separator is not None and not is_list(column):
        column = pc.split_pattern(values_of(label, column), separator)
    if is_list(column):
        parents = pc.list_parent_indices(column).to_numpy().astype(np.int64)
        flat = plain(pc.list_flatten(column))
    ids = as_ids(label, flat, missing)
    tags = pc.binary_join_element_wise(prefix, ids.text, "") if prefix else ids.text
    used = ~ids.is_missing
    bad = np.zeros(len(column), dtype=bool)
    bad[parents[ids.is_bad]] = True
    weights = np.ones(np.count_nonzero(used))
    return _Part(
        parents[used],
        tags.filter(pa.array(used)),
        weights,
        (Fault(bad, label, ids.what, column),),
    )


def _of_numbers(column: pa.Array, label: str, missing: frozenset[str]) -> _Part:
    """Return a tag for each number but zero, which says that an object does not have it."""
    numbers = as_numbers(label, column)
    present = ~is_blank(column, missing)
    bad = numbers.is_bad & present
    with np.errstate(over="ignore"):
        used = bad | (present & (numbers.values.astype(np.float32) != 0))
    parents = np.flatnonzero(used)
    tags = pa.array([label]).take(pa.array(np.zeros(len(parents), dtype=np.int64)))
    return _Part(
        parents,
        tags,
        np.where(bad, 1, numbers.values)[used],
        (Fault(bad, label, numbers.what, column),),
    )
