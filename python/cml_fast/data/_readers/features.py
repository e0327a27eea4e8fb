"""Reading features of users or items: tables of tags, genres, lists of tags, sparse matrices."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from ..._validation.matrices import FEATURES
from ..._validation.scalars import check_int
from ...errors import DataError
from ..features import Features
from .files import (
    check_delimiter,
    check_not_empty,
    choose_format,
    first_line,
    reading,
    refuse_useless,
)
from .lists import read_counted, read_npz
from .pairs import Pairs, align, check_ids, to_csr
from .tables import Columns, Rules, drop_unused, read_parquet, read_text
from .text import TextTable, open_binary

FEATURE_FORMATS = ("csv", "tsv", "parquet", "genres", "counted", "npz")
# A delimiter makes a format a table that is text.
_DELIMITERS = {"csv": ",", "tsv": "\t", "genres": ","}
_TABLES = ("parquet", *_DELIMITERS)
# What MovieLens writes where a film has no genre.
_NO_GENRES = "(no genres listed)"


def load_features(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    id: str | int | None = None,
    tag: str | int | None = None,
    weight: str | int | None = None,
    delimiter: str | None = None,
    header: bool = True,
    separator: str | None = None,
    names_file: str | os.PathLike[str] | None = None,
    count_as_item: bool = False,
    ids: ArrayLike | None = None,
    names: ArrayLike | None = None,
    unknown: str = "error",
    min_count: int = 0,
) -> Features:
    """Read features of users or items from a file.

    =========== ==============================================================================
    format      content
    =========== ==============================================================================
    ``csv``     A table with one id and one tag of it a row, and ``"`` as quote.
    ``tsv``     The same with tabs and without quotes.
    ``parquet`` A Parquet table with one id and one tag of it a row.
    ``genres``  A table as ``csv``, with all tags of an id in one column: ``Action|Comedy``
                (movies.csv of MovieLens).
    ``counted`` ``count id id ...``, whole numbers, one tag a line (tag-item.dat of CiteULike).
    ``npz``     ``scipy.sparse.save_npz``: a row for each object, a column for each feature.
    =========== ==============================================================================

    Text is UTF-8 and may be compressed with gzip (``.gz``).

    Parameters
    ----------
    path : str or path
        The file.
    format : str, default "auto"
        One of the formats above. ``auto`` goes by the extension (.csv, .tsv, .parquet, .npz;
        .dat is ``counted``) and takes a .csv file with a column ``genres`` for ``genres``.
    id, tag : str or int, optional
        Columns of a table, by name or by position from 0. Default: ``"id"`` and ``"tag"``, in
        ``genres`` ``"movieId"`` and ``"genres"``, or 0 and 1 where there is no header.
    weight : str or int, optional
        Column of a table whose values become the weights; without it they are 1.
    delimiter : str, optional
        The character between the columns of ``csv`` or ``genres``, if not a comma.
    header : bool, default True
        Whether the first line of a table that is text holds the names of the columns.
    separator : str, optional
        What stands between the tags of ``genres``, if not ``|``. An empty column and ``(no
        genres listed)`` mean none.
    names_file : str or path, optional
        The names of ``counted`` tags, one a line (tags.dat of CiteULike). Without it they are
        the line numbers, from 0.
    count_as_item : bool, default False
        Read the leading count of each ``counted`` line as one more id, which it is not; see
        `load_interactions`.
    ids : array-like of int or str, optional
        The objects of the result, in this order, such as the ``item_ids`` of the interactions.
        Those without features get rows of zeros. ``npz`` must have one row for each.
    names : array-like of int or str, optional
        The features of the result, in this order, such as the ``names`` a model was trained on.
    unknown : {"error", "drop"}, default "error"
        What to do with ids of the file that are not in ``ids``, and with tags that are not in
        ``names``. If none is, that is always an error.
    min_count : int, default 0
        Leave out features that fewer objects of the result have.

    Returns
    -------
    Features
        ``matrix`` is (n_objects, n_features) float32 CSR. Ids and names that are all integers are
        int64, others str, as in `load_interactions`; those of ``genres`` are str. Without ``ids``
        and ``names`` both are sorted ascending, and ``counted`` lists give the ids that occur.
        From ``npz`` names are the column numbers, and there are no ids. With a ``names_file``
        names keep its order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If the file is empty, truncated, damaged or not UTF-8, lacks a column, has a bad line
        (named by its number, from 1; in Parquet: row, from 0), a weight that is not finite, a
        wrong number of rows or names, something unknown, or if no feature is left.
    ValueError, TypeError
        If an argument is wrong or has no meaning for the format.

    Warns
    -----
    UserWarning
        Pairs that occur repeatedly are merged (their weights are added; without weights they
        stay 1), weights of zero and, with ``unknown="drop"``, unknown ids and tags are dropped,
        each with a warning that counts them.
    """
    path = Path(path)
    check_not_empty(path)
    format = choose_format(path, format, FEATURE_FORMATS, _guess_format)
    chosen = {"id": id, "tag": tag, "weight": weight}
    _check_options(format, chosen, delimiter, header, separator, names_file, count_as_item)
    if unknown not in ("error", "drop"):
        raise ValueError(f"unknown must be error or drop, got {unknown!r}")
    if check_int("min_count", min_count, 0) and names is not None:
        raise ValueError("min_count has no meaning with names, which say what to keep")
    roles = _default_columns(format, header)
    roles |= {role: column for role, column in chosen.items() if column is not None}
    rules = Rules(signed=True, may_be_blank="tag" if format == "genres" else None)
    with reading(path, format):
        if format == "parquet":
            pairs = read_parquet(path, roles, rules)
        elif format in _DELIMITERS:
            text = TextTable(path, delimiter or _DELIMITERS[format], format != "tsv", header)
            pairs = read_text(text, roles, rules)
        elif format == "counted":
            pairs = _by_object(read_counted(path, "tag", count_as_item))
        else:
            pairs = read_npz(path, FEATURES)
    if format == "genres":
        pairs = _split_cells(pairs, separator or "|")
    if names_file is not None:
        pairs = pairs._replace(
            column_ids=_read_names(Path(names_file), path, len(pairs.column_ids))
        )
    if not pairs.rows.size:
        raise DataError(f"{path} has no features")

    drop = unknown == "drop"
    rows, columns = pairs.rows, pairs.columns
    if format == "npz":
        known_ids = _row_ids(path, pairs.row_ids.size, ids)
    else:
        rows, known_ids = align(path, "id", rows, pairs.row_ids, "ids", ids, drop)
    columns, known_names = align(path, "tag", columns, pairs.column_ids, "names", names, drop)
    is_known = (rows >= 0) & (columns >= 0)
    if not is_known.any():
        raise DataError(f"{path}: none of these ids has any of these names")
    weights = None if pairs.weights is None else pairs.weights[is_known]
    n_rows = pairs.row_ids.size if known_ids is None else known_ids.size
    shape = (n_rows, known_names.size)
    matrix = to_csr(path, rows[is_known], columns[is_known], weights, shape)
    matrix.eliminate_zeros()  # where duplicates added up to one
    if min_count:
        matrix, known_names = _keep_frequent(path, matrix, known_names, min_count)
    return Features(matrix, known_ids, known_names)


def _guess_format(path: Path, extension: str) -> str | None:
    if extension == ".csv" and re.search(rb"\bgenres\b", first_line(path)):
        return "genres"
    known = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".npz": "npz", ".dat": "counted"}
    return known.get(extension)


def _check_options(
    format: str,
    columns: dict[str, str | int | None],
    delimiter: str | None,
    header: bool,
    separator: str | None,
    names_file: str | os.PathLike[str] | None,
    count_as_item: bool,
) -> None:
    """Refuse options that would have no effect, and those that are wrong by themselves."""
    given: dict[str, bool] = {}
    if format not in _TABLES:
        given.update({role: column is not None for role, column in columns.items()})
    given["delimiter"] = format not in ("csv", "genres") and delimiter is not None
    given["header"] = format not in _DELIMITERS and not header
    given["separator"] = format != "genres" and separator is not None
    given["names_file"] = format != "counted" and names_file is not None
    given["count_as_item"] = format != "counted" and count_as_item
    refuse_useless(format, given)
    check_delimiter(delimiter)
    if separator is not None and not (isinstance(separator, str) and separator):
        raise ValueError(f"separator must be text that stands between tags, got {separator!r}")


def _default_columns(format: str, header: bool) -> Columns:
    if not header:
        return {"id": 0, "tag": 1}
    if format == "genres":
        return {"id": "movieId", "tag": "genres"}
    return {"id": "id", "tag": "tag"} if format in _TABLES else {}


def _by_object(lists: Pairs) -> Pairs:
    """Return lists of the objects of each tag as pairs of object and tag."""
    rows, row_ids = drop_unused(lists.columns, lists.column_ids)
    return Pairs(rows, row_ids, lists.rows, lists.row_ids)


def _split_cells(pairs: Pairs, separator: str) -> Pairs:
    """Return pairs of an id and several tags as pairs of an id and a tag."""
    cells = [
        []
        if cell == _NO_GENRES
        else [tag for part in cell.split(separator) if (tag := part.strip())]
        for cell in pairs.column_ids.astype(str).tolist()
    ]
    tags = np.array([tag for cell in cells for tag in cell], dtype=str)
    names, codes = np.unique(tags, return_inverse=True)
    starts = np.cumsum([0, *map(len, cells)])
    # A matrix of cells x tags; taking a row of it for each pair splits them all.
    split = sp.csr_array((np.ones(codes.size), codes, starts), shape=(len(cells), names.size))
    split = split[pairs.columns]
    counts = np.diff(split.indptr)
    weights = None if pairs.weights is None else np.repeat(pairs.weights, counts)
    return Pairs(np.repeat(pairs.rows, counts), pairs.row_ids, split.indices, names, weights)


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


def _row_ids(path: Path, n_rows: int, ids: ArrayLike | None) -> np.ndarray | None:
    """Return the ids of a matrix's rows, which it does not hold itself."""
    if ids is None:
        return None
    known = check_ids("ids", ids)
    if known.size != n_rows:
        raise DataError(
            f"{path} has {n_rows} rows, but there are {known.size} ids; it must have one row for "
            "each of the ids, in their order"
        )
    return known


def _keep_frequent(
    path: Path, matrix: sp.csr_array, names: np.ndarray, min_count: int
) -> tuple[sp.csr_array, np.ndarray]:
    """Leave out features that fewer than ``min_count`` objects have."""
    counts = np.bincount(matrix.indices, minlength=names.size)
    is_frequent = counts >= min_count
    if not is_frequent.any():
        raise DataError(
            f"{path}: no feature occurs in at least min_count={min_count} objects; the most "
            f"frequent one occurs in {counts.max()}"
        )
    return matrix[:, is_frequent], names[is_frequent]
