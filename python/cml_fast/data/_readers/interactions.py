"""Reading interaction files: tables, MovieLens files, lists of items and sparse matrices."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..._validation.scalars import check_real
from ...errors import DataError
from ..interactions import Interactions
from .files import (
    check_delimiter,
    check_not_empty,
    choose_format,
    first_line,
    reading,
    refuse_useless,
)
from .lists import read_adjacency, read_counted, read_npz
from .pairs import align, to_csr
from .tables import Columns, Rules, read_parquet, read_text
from .text import TextTable

FORMATS = ("csv", "tsv", "parquet", "movielens", "adjacency", "counted", "npz")
# A delimiter makes a format a table that is text.
_DELIMITERS = {"csv": ",", "tsv": "\t", "movielens": "::"}
_TABLES = ("parquet", *_DELIMITERS)


def load_interactions(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    user: str | int | None = None,
    item: str | int | None = None,
    rating: str | int | None = None,
    min_rating: float | None = None,
    weight: str | int | None = None,
    delimiter: str | None = None,
    header: bool = True,
    count_as_item: bool = False,
    user_ids: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
) -> Interactions:
    """Read who liked what from a file.

    ============= ============================================================================
    format        content
    ============= ============================================================================
    ``csv``       A table with one interaction a row and ``"`` as quote.
    ``tsv``       The same with tabs and without quotes.
    ``parquet``   A Parquet table with one interaction a row.
    ``movielens`` ``user::item::rating::timestamp``, no header.
    ``adjacency`` ``user item item ...``, whole numbers, one user a line (Gowalla).
    ``counted``   ``count item item ...``, whole numbers; the user is the line number, from 0
                  (users.dat of CiteULike).
    ``npz``       ``scipy.sparse.save_npz``; values are weights, row and column numbers ids.
    ============= ============================================================================

    Text is UTF-8 and may be compressed with gzip (``.gz``).

    Parameters
    ----------
    path : str or path
        The file.
    format : str, default "auto"
        One of the formats above. ``auto`` goes by the extension (.csv, .tsv, .parquet, .npz)
        and takes a .dat file with ``::`` in its first line for ``movielens``.
    user, item : str or int, optional
        Columns of a table, by name or by position from 0. Default: ``"user"`` and ``"item"``,
        or 0 and 1 where there is no header.
    rating, min_rating : str or int and float, optional
        Keep the rows of a table whose column ``rating`` is at least ``min_rating``, each as a
        like of weight 1. For ``movielens`` the rating is column 2 unless given.
    weight : str or int, optional
        Column of a table whose values become the weights.
    delimiter : str, optional
        The character between the columns of ``csv``, if not a comma.
    header : bool, default True
        Whether the first line of ``csv`` or ``tsv`` holds the names of the columns.
    count_as_item : bool, default False
        Read the leading count of each ``counted`` line as one more item, which it is not. The
        paper did so with CiteULike-t: its Table 1 gives 142,794 pairs, where the data has
        134,860. Only of use for a comparison with the paper's own numbers.
    user_ids, item_ids : array-like of int or str, optional
        The ids of the result, in this order, to bring several files into one id space; an id
        outside is an error. Where no file has all ids, join them:
        ``numpy.union1d(train.item_ids, test.item_ids)``.

    Returns
    -------
    Interactions
        ``matrix`` is (n_users, n_items) float32 CSR. Ids that are all integers are int64,
        others str; without ``user_ids`` and ``item_ids`` both are sorted ascending. Integers
        with leading zeros are str, so that ``007`` stays apart from ``7``. Tables give the
        users and items that are left after ``min_rating`` and the dropping of zero weights;
        lists give every user with a line, with items or not; ``counted`` lists give the items
        0 to the largest id.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If the file is empty, truncated, damaged or not UTF-8, lacks a column, has a bad line
        (named by its number, from 1; in Parquet: row, from 0), an id that is not in
        ``user_ids`` or ``item_ids``, or if no interaction is left.
    ValueError, TypeError
        If an argument is wrong or has no meaning for the format.

    Warns
    -----
    UserWarning
        Pairs that occur repeatedly are merged (their weights are added; without weights they
        stay 1) and weights of zero are dropped, each with a warning that counts them.
    """
    path = Path(path)
    check_not_empty(path)
    format = choose_format(path, format, FORMATS, _guess_format)
    chosen = {"user": user, "item": item, "rating": rating, "weight": weight}
    _check_options(format, chosen, min_rating, delimiter, header, count_as_item)
    has_names = header and format != "movielens"
    columns = _default_columns(format, has_names, min_rating)
    columns |= {role: column for role, column in chosen.items() if column is not None}
    with reading(path, format):
        if format == "parquet":
            pairs = read_parquet(path, columns, Rules(min_rating))
        elif format in _DELIMITERS:
            text = TextTable(path, delimiter or _DELIMITERS[format], format == "csv", has_names)
            pairs = read_text(text, columns, Rules(min_rating))
        elif format == "adjacency":
            pairs = read_adjacency(path)
        elif format == "counted":
            pairs = read_counted(path, "user", count_as_item)
        else:
            pairs = read_npz(path)
    if not pairs.rows.size:
        raise DataError(f"{path} has no interactions")
    users, known_users = align(path, "user", pairs.rows, pairs.row_ids, "user_ids", user_ids)
    items, known_items = align(path, "item", pairs.columns, pairs.column_ids, "item_ids", item_ids)
    shape = (known_users.size, known_items.size)
    return Interactions(to_csr(path, users, items, pairs.weights, shape), known_users, known_items)


def _guess_format(path: Path, extension: str) -> str | None:
    if extension in (".csv", ".tsv", ".parquet", ".npz"):
        return extension[1:]
    if extension == ".dat" and b"::" in first_line(path):
        return "movielens"
    return None


def _check_options(
    format: str,
    columns: dict[str, str | int | None],
    min_rating: float | None,
    delimiter: str | None,
    header: bool,
    count_as_item: bool,
) -> None:
    """Refuse options that would have no effect, and those that are wrong by themselves."""
    given: dict[str, bool] = {}
    if format not in _TABLES:
        given.update({role: column is not None for role, column in columns.items()})
        given["min_rating"] = min_rating is not None
    given["delimiter"] = format != "csv" and delimiter is not None
    given["header"] = format not in ("csv", "tsv") and not header
    given["count_as_item"] = format != "counted" and count_as_item
    refuse_useless(format, given)
    if min_rating is not None:
        check_real("min_rating", min_rating, -np.finfo(float).max)
    has_rating = columns["rating"] is not None
    if has_rating and min_rating is None:
        raise ValueError("rating needs min_rating, the least rating that counts as a like")
    if min_rating is not None and not has_rating and format != "movielens":
        raise ValueError("min_rating needs rating, the column to compare with it")
    check_delimiter(delimiter)


def _default_columns(format: str, has_names: bool, min_rating: float | None) -> Columns:
    columns: Columns = {"user": "user", "item": "item"} if has_names else {"user": 0, "item": 1}
    if format == "movielens" and min_rating is not None:
        columns["rating"] = 2
    return columns
