"""Reading interactions and features from files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from .._validation.scalars import check_choice, check_int, check_real
from ..errors import DataError
from ._ids import IdIndex
from ._readers.formats import read_pairs
from ._readers.pairs import FEATURES, INTERACTIONS, PairKind, Pairs, align, merge, stack_level
from ._readers.report import ON_BAD_LINES, ReadReport, Tally
from .features import Features
from .interactions import Interactions

UNKNOWN = ("error", "drop")


def load_interactions(
    source: Any,
    *,
    format: str = "auto",
    user: str | int | None = None,
    item: str | int | None = None,
    rating: str | int | None = None,
    min_rating: float | None = None,
    weight: str | int | None = None,
    timestamp: str | int | None = None,
    where: Mapping[str | int, Any] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    quoting: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] = (),
    on_bad_lines: str = "error",
    count_as_item: bool = False,
    user_ids: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
    unknown: str = "error",
) -> Interactions:
    r"""Read who liked what from files or a data frame.

    Every line of a file, or row of a frame, becomes a pair of a user and an item, or is counted in
    the report that comes with the result, or is an error that names it.

    Formats:

    - ``csv``: a table with one interaction a row and ``"`` as quote.
    - ``tsv``: the same with tabs and without quotes.
    - ``parquet``: a Parquet table with one interaction a row.
    - ``jsonl``: an object of JSON on each line, with the columns as its keys. A key that is absent
      or null is missing; values within values, and true and false as ids, make a bad line.
    - ``movielens``: ratings of MovieLens, of all generations: ``u.data`` (tabs), ``ratings.dat``
      (``user::item::rating::timestamp``) and ``ratings.csv``.
    - ``recbole``: ``.inter`` files of RecBole, with the types of the columns in the header;
      ``user_id``, ``item_id`` and, where they are there, ``rating`` and ``timestamp``.
    - ``bookcrossing``: ``BX-Book-Ratings.csv`` of Book-Crossing. A rating of 0 says only that
      somebody read the book; ``min_rating=1`` leaves such rows out.
    - ``lastfm``: ``usersha1-artmbid-artname-plays.tsv`` of Last.fm 360K, where the item is the
      MusicBrainz id of the artist, or the name if that is blank (``item="artist"``: always the
      name), and ``user_artists.dat`` of HetRec 2011. Plays are weights.
    - ``amazon``: ratings of Amazon's products: ``user,item,rating,timestamp`` (2014) and
      ``item,user,rating,timestamp`` (2018) without a header, told apart by what the ids look like,
      and the files of 2023 with a header.
    - ``steam``: ``steam-200k.csv``, with the columns ``user``, ``item``, ``event`` and ``value``:
      hours played are ``where={"event": "play"}, weight="value"``.
    - ``retailrocket``: ``events.csv``; ``where={"event": "transaction"}`` keeps what was bought.
    - ``netflix``: files of the Netflix Prize: a line ``item:``, and a line ``user,rating,date`` for
      each rating of it. Give several files as a list or folder.
    - ``adjacency``: ``user item item ...``, whole numbers, one user a line (Gowalla).
    - ``citeulike``: ``count item item ...``, whole numbers; the user is the line number, from 0
      (users.dat of CiteULike).
    - ``npz``: ``scipy.sparse.save_npz``; values are weights, row and column numbers ids.

    Files may be packed by gzip, bzip2, xz or zstd, or be the only file in a zip file.

    Parameters
    ----------
    source : path, open file, bytes, data frame, or a list of paths
        What to read; a file is opened once and read once, so it may be a pipe. A path may have the
        wildcards ``*`` and ``?``, be a folder of files as Spark and DuckDB write it (values in the
        names of folders such as ``year=2024`` are columns), or the URL of a remote file (with the
        extra ``cml-fast[remote]``). A data frame is one of pandas, polars, pyarrow, DuckDB or
        anything else that narwhals or the Arrow C stream protocol knows.
    format : str, default "auto"
        One of the formats above. ``auto`` goes by the extension (.csv, .tsv, .parquet, .jsonl,
        .npz), and knows files of data sets by their first line where that is certain.
    user, item : str or int, optional
        Columns of a table, by name or by position from 0. Default: ``"user"`` and ``"item"``,
        or 0 and 1 where there is no header.
    rating, min_rating : str or int and float, optional
        Keep the rows of a table whose column ``rating`` is at least ``min_rating``, each as a
        like of weight 1. If only ``min_rating`` is given, the rating is the column of that name.
    weight : str or int, optional
        Column of a table whose values become the weights. For counts, such as plays, see the
        parameter ``weighting`` of `Trainer`.
    timestamp : str or int, optional
        Column of a table with the time of each interaction: numbers, which are kept as they are,
        or dates and times, in text like ``2024-01-31T12:00:00Z``.
    where : dict, optional
        Keep the rows that have these values: ``{"event": "purchase"}``, or one of several:
        ``{"event": ["purchase", "cart"]}``. Columns by name or position, values as text.
    delimiter : str, optional
        What stands between the columns of ``csv``, if not a comma.
    header : bool, optional
        Whether the first line of a text table holds the names of the columns. Default: it does;
        if columns are given by position, it has to be said.
    quoting : {"minimal", "multiline", "none", "backslash"}, optional
        "minimal", the default of ``csv``: a field may be within double quotes, ``""`` in it stands
        for one, and it ends on the line on which it begins. Fields that go on over several lines
        are read as well, with a warning, unless one of these lines looks like a record of its
        own: then a quote was probably never closed. "multiline" expects such lines. "none", the
        default of ``tsv``: a double quote is a character like any other. "backslash" is "minimal",
        and within quotes a backslash makes an ordinary character of the next one.
    encoding : str, optional
        The encoding of a text table, such as "latin-1". Default: UTF-8.
    missing : list of str
        What stands for no id in a table, such as ``["NULL", "nan"]``, besides empty fields, null
        and NaN. A row without an id is a bad line.
    on_bad_lines : {"error", "skip"}, default "error"
        Whether a line of a table that cannot be read is an error, or is counted and left out.
    count_as_item : bool, default False
        Read the count that begins each ``citeulike`` line as one more item, which it is not. The
        paper did so with CiteULike-t: its Table 1 gives 142,794 pairs, where the data has
        134,860. Only useful for a comparison with the paper's own numbers.
    user_ids, item_ids : array-like of int or str, optional
        The ids of the result, in this order, such as those of a model or of the training data.
    unknown : {"error", "drop"}, default "error"
        What to do with pairs whose user or item is not in ``user_ids`` or ``item_ids``. If all of
        them are unknown, that is always an error.

    Returns
    -------
    Interactions
        ``matrix`` is (n_users, n_items) float32 CSR. Ids that are all integers are int64, others
        str; without ``user_ids`` and ``item_ids`` both are sorted ascending. Integers with leading
        zeros are str, so that ``007`` stays apart from ``7``; spaces around an id are no part of
        it. Tables give the users and items of the rows that count; lists give every user with a
        line, with items or not; ``citeulike`` lists give the items 0 to the largest id.
        ``timestamps`` are int64, float64 or datetime64[us], and ``report`` is a `ReadReport`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If a file is empty, truncated, damaged or not in its encoding, lacks a column, has a bad
        line (named by its number, from 1; in Parquet and frames: row, from 0), an id that is not
        in ``user_ids`` or ``item_ids``, or if no interaction is left.
    ValueError, TypeError
        If an argument is wrong, or is not an option of the format; the message then names the
        formats that take it.
    ImportError
        If a remote file is asked for and fsspec is not installed.

    Warns
    -----
    UserWarning
        Pairs that occur repeatedly are merged (their weights are added, and the last timestamp is
        kept; without weights they stay 1), and weights of zero, bad lines with
        ``on_bad_lines="skip"`` and pairs with ``unknown="drop"`` are left out, each with a warning
        that counts them. So is a column of ratings that nobody asked for: low ratings are no
        likes.

    Examples
    --------
    A table of ratings, of which those of at least 4 count as likes:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast.data import load_interactions
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "ratings.csv"
    >>> lines = ["user,item,rating", "ann,tea,5", "ann,rice,4", "bob,tea,4", "bob,milk,2"]
    >>> size = path.write_text("\n".join(lines))
    >>> likes = load_interactions(path, rating="rating", min_rating=4)
    >>> likes
    Interactions(2 users x 2 items, 3 interactions)
    >>> print(likes.report)
    5 lines: 1 header, 1 below min rating, 3 kept; 3 pairs
    >>> likes.item_ids.tolist()
    ['rice', 'tea']
    >>> likes.matrix.toarray().tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    >>> folder.cleanup()
    """
    options = _given(
        user=user,
        item=item,
        rating=rating,
        min_rating=min_rating,
        weight=weight,
        timestamp=timestamp,
        where=where,
        delimiter=delimiter,
        header=header,
        quoting=quoting,
        encoding=encoding,
        missing=missing,
        count_as_item=count_as_item,
    )
    check_choice("unknown", unknown, UNKNOWN)
    tally = Tally(check_choice("on_bad_lines", on_bad_lines, ON_BAD_LINES))
    users, items = _index("user", "user_ids", user_ids), _index("item", "item_ids", item_ids)
    name, pairs = read_pairs(source, INTERACTIONS, format, options, tally)
    matrix, row_ids, column_ids, timestamps, report = _to_matrix(
        name, INTERACTIONS, pairs, users, items, tally, drop=unknown == "drop"
    )
    return Interactions(matrix, row_ids, column_ids, timestamps, report)


def load_features(
    source: Any,
    *,
    format: str = "auto",
    id: str | int | None = None,
    tag: str | int | Sequence[str | int] | None = None,
    numbers: Sequence[str | int] | None = None,
    weight: str | int | None = None,
    where: Mapping[str | int, Any] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    quoting: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] = (),
    on_bad_lines: str = "error",
    separator: str | Mapping[str | int, str] | None = None,
    names_file: str | os.PathLike[str] | None = None,
    count_as_item: bool = False,
    ids: ArrayLike | None = None,
    names: ArrayLike | None = None,
    unknown: str = "error",
    min_count: int = 0,
) -> Features:
    r"""Read features of users or items from files or a data frame.

    A feature is a tag, which an object has or has not, perhaps with a weight. Every line of a file
    gives tags, or is counted in the report that comes with the result, or is an error that names
    it.

    Formats:

    - ``csv``: a table with one object a row and its tags in one or more columns, and ``"`` as
      quote.
    - ``tsv``: the same with tabs and without quotes.
    - ``parquet``: the same as a Parquet table; a column of lists has several tags of an object.
    - ``jsonl``: the same as an object of JSON on each line, with the columns as its keys.
    - ``movielens``: ``movies.dat`` and ``u.item`` (genres), ``users.dat`` and ``u.user`` (gender,
      age and occupation, as ``gender=F``), ``tags.dat`` and ``tags.csv``.
    - ``genres``: a table as ``csv``, with all tags of an id in one column: ``Action|Comedy``
      (movies.csv of MovieLens).
    - ``recbole``: ``.item`` and ``.user`` files of RecBole. All columns are read, as the types in
      the header say: ``token`` is a category, ``token_seq`` several tags separated by spaces,
      ``float`` a number.
    - ``bookcrossing``: ``BX-Books.csv`` (author and publisher) and ``BX-Users.csv`` (location and
      age).
    - ``lastfm``: ``user_taggedartists.dat`` of HetRec 2011.
    - ``citeulike``: ``count id id ...``, whole numbers, one tag a line (tag-item.dat of
      CiteULike).
    - ``npz``: ``scipy.sparse.save_npz``: a row for each object, a column for each feature.

    Files may be packed by gzip, bzip2, xz or zstd, or be the only file in a zip file.

    Parameters
    ----------
    source : path, open file, bytes, data frame, or a list of paths
        What to read; see `load_interactions`.
    format : str, default "auto"
        One of the formats above. ``auto`` goes by the extension (.csv, .tsv, .parquet, .jsonl,
        .ndjson, .npz; .dat is ``citeulike``) and knows the files of the data sets named above by
        their first line.
    id : str or int, optional
        Column with the ids of the objects, by name or by position from 0. Default: ``"id"``, or 0
        where there is no header; the data sets named above have their own.
    tag : str or int, or a list of them, optional
        Column of tags. Of several columns ``["gender", "age"]`` the tags are called ``gender=F``
        and ``age=25``, so that equal values of two columns stay apart. Default: ``"tag"``, or 1
        where there is no header, or none with ``numbers``.
    numbers : list of str or int, optional
        Columns of numbers. The tag is the name of the column, and the number its weight; an object
        with a zero does not have it. So are columns of 0 and 1, such as the genres of ``u.item``.
    weight : str or int, optional
        Column of a table whose values become the weights; without it they are 1.
    where : dict, optional
        Keep the rows that have these values; see `load_interactions`.
    delimiter : str, optional
        What stands between the columns of ``csv`` or ``genres``, if not a comma.
    header, quoting, encoding : optional
        How a text table is written; see `load_interactions`. The names of films in MovieLens' old
        files are "latin-1".
    missing : list of str
        What stands for no id or no tag, besides empty fields, null and NaN.
    on_bad_lines : {"error", "skip"}, default "error"
        Whether a line of a table that cannot be read is an error, or is counted and left out.
    separator : str, or dict from column to str, optional
        What stands between several tags in one field, ``"|"`` in ``Action|Comedy``: in all columns
        of tags, or in those of the dict.
    names_file : str or path, optional
        The names of ``citeulike`` tags, one a line (tags.dat of CiteULike). Without it they are
        the line numbers, from 0.
    count_as_item : bool, default False
        Read the count that begins each ``citeulike`` line as one more id, which it is not; see
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
        int64, others str, as in `load_interactions`. Without ``ids`` and ``names`` both are sorted
        ascending, and ``citeulike`` lists give the ids that occur. A row without a tag is counted
        in the report as ``without_tag``, and its object has a row of zeros.
        From ``npz`` names are the column numbers, and there are no ids. With a ``names_file``
        names keep its order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If a file is empty, truncated, damaged or not in its encoding, lacks a column, has a bad
        line (named by its number, from 1; in Parquet: row, from 0), a weight that is not finite,
        a wrong number of rows or names, something unknown, or if no feature is left.
    ValueError, TypeError
        If an argument is wrong, or is not an option of the format; the message then names the
        formats that take it.

    Warns
    -----
    UserWarning
        Pairs that occur repeatedly are merged (their weights are added; without weights they
        stay 1), weights of zero and, with ``unknown="drop"``, unknown ids and tags are dropped,
        each with a warning that counts them.

    Examples
    --------
    The genres of films, for items that some interactions have:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast.data import load_features
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "movies.csv"
    >>> lines = ["movieId,title,genres", "1,Toy Story,Animation|Comedy", "6,Heat,Action"]
    >>> size = path.write_text("\n".join(lines))
    >>> features = load_features(path, ids=[6, 2, 1])
    >>> features
    Features(3 objects x 3 features, 3 entries)
    >>> features.names.tolist()
    ['Action', 'Animation', 'Comedy']
    >>> features.matrix.toarray().tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    >>> folder.cleanup()

    Several columns of tags, and one of numbers:

    >>> people = b"id,gender,team,is_new\n1,F,red,0\n2,M,,1\n"
    >>> features = load_features(
    ...     people, format="csv", id="id", tag=["gender", "team"], numbers=["is_new"]
    ... )
    >>> features.names.tolist()
    ['gender=F', 'gender=M', 'is_new', 'team=red']
    >>> features.matrix.toarray().tolist()
    [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]
    """
    check_choice("unknown", unknown, UNKNOWN)
    if check_int("min_count", min_count, 0) and names is not None:
        raise ValueError("min_count has no meaning with names, which say what to keep")
    options = _given(
        id=id,
        tag=tag,
        numbers=numbers,
        weight=weight,
        where=where,
        delimiter=delimiter,
        header=header,
        quoting=quoting,
        encoding=encoding,
        missing=missing,
        separator=separator,
        names_file=names_file,
        count_as_item=count_as_item,
    )
    tally = Tally(check_choice("on_bad_lines", on_bad_lines, ON_BAD_LINES))
    wanted_ids, wanted_names = _index("id", "ids", ids), _index("name", "names", names)
    name, pairs = read_pairs(source, FEATURES, format, options, tally)
    if not pairs.rows_have_ids and wanted_ids is not None:
        pairs = _name_rows(name, pairs, wanted_ids)
    matrix, known_ids, known_names, _, report = _to_matrix(
        name, FEATURES, pairs, wanted_ids, wanted_names, tally, drop=unknown == "drop"
    )
    matrix.eliminate_zeros()  # where duplicates added up to one
    if min_count:
        matrix, known_names = _keep_frequent(name, matrix, known_names, min_count)
    return Features(matrix, known_ids if pairs.rows_have_ids else None, known_names, report)


def _given(
    *,
    min_rating: float | None = None,
    missing: Sequence[str] = (),
    where: Mapping[str | int, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the options that the caller gave, checked as far as that needs no file."""
    if isinstance(missing, str) or not all(isinstance(word, str) for word in missing):
        raise TypeError(f"missing must be a list of texts such as ['NULL'], got {missing!r}")
    if min_rating is not None:
        check_real("min_rating", min_rating, -np.finfo(float).max)
    elif options.get("rating") is not None:
        raise ValueError("rating needs min_rating, the least rating that counts as a like")
    checked = {
        "min_rating": min_rating,
        "where": where,
        "missing": tuple(missing) or None,
        **options,
        "count_as_item": options.get("count_as_item") or None,
    }
    return {name: value for name, value in checked.items() if value is not None}


def _index(what: str, argument: str, ids: ArrayLike | None) -> IdIndex | None:
    return None if ids is None else IdIndex(what, ids, argument=argument)


def _name_rows(name: str, pairs: Pairs, ids: IdIndex) -> Pairs:
    """Give ids to the rows of a matrix whose file holds none."""
    if ids.array.size != pairs.row_ids.size:
        raise DataError(
            f"{name} has {pairs.row_ids.size} rows, but there are {ids.array.size} ids; it must "
            "have one row for each of the ids, in their order"
        )
    return pairs._replace(row_ids=ids.array, rows_have_ids=True)


def _to_matrix(
    name: str,
    kind: PairKind,
    pairs: Pairs,
    wanted_rows: IdIndex | None,
    wanted_columns: IdIndex | None,
    tally: Tally,
    drop: bool,
) -> tuple[sp.csr_array, np.ndarray, np.ndarray, np.ndarray | None, ReadReport]:
    """Return a float32 matrix, the ids of its rows and columns, the times and the counts.

    The ids are the wanted ones, or those of the file where none are wanted. Pairs with other ids
    are an error, or are left out with ``drop``.
    """
    row = align(name, kind.row, pairs.rows, pairs.row_ids, wanted_rows, drop)
    column = align(name, kind.column, pairs.columns, pairs.column_ids, wanted_columns, drop)
    rows, columns, weights, times = row.positions, column.positions, pairs.weights, pairs.timestamps
    why = "; ".join(aligned.unknown for aligned in (row, column) if aligned.unknown)
    if why:
        is_known = (rows >= 0) & (columns >= 0)
        if not is_known.any():
            raise DataError(f"{name}: no {kind.matrix.entry} is between ids that are known: {why}")
        tally.unknown = int((~is_known).sum())
        rows, columns = rows[is_known], columns[is_known]
        weights = None if weights is None else weights[is_known]
        times = None if times is None else times[is_known]
        if tally.unknown:
            warnings.warn(
                f"{name}: {tally.unknown:,} of {is_known.size:,} {kind.matrix.entry}s left out: "
                f"{why}",
                stacklevel=stack_level(),
            )
    shape = (row.ids.size, column.ids.size)
    matrix, times = merge(name, rows, columns, weights, times, shape)
    tally.merged += len(rows) - matrix.nnz
    tally.pairs = matrix.nnz
    _warn(name, tally)
    return matrix, row.ids, column.ids, times, tally.report()


def _warn(name: str, tally: Tally) -> None:
    """Warn of lines that may be there by mistake."""
    if tally.bad:
        warnings.warn(
            f"{tally.bad} bad lines were skipped, the first: {tally.first_bad}",
            stacklevel=stack_level(),
        )
    if tally.continued:
        warnings.warn(
            f"{tally.first_continued} has line breaks within quotes, as {tally.continued} lines "
            "that continue a record show; pass quoting='none' if quotes are ordinary characters",
            stacklevel=stack_level(),
        )


def _keep_frequent(
    name: str, matrix: sp.csr_array, names: np.ndarray, min_count: int
) -> tuple[sp.csr_array, np.ndarray]:
    """Leave out features that fewer than ``min_count`` objects have."""
    counts = np.bincount(matrix.indices, minlength=names.size)
    is_frequent = counts >= min_count
    if not is_frequent.any():
        raise DataError(
            f"{name}: no feature occurs in at least min_count={min_count} objects; the most "
            f"frequent one occurs in {counts.max()}"
        )
    return matrix[:, is_frequent], names[is_frequent]
