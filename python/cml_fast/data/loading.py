"""Reading interactions and features from files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from .._validation.scalars import check_choice, check_int
from ..errors import DataError
from ._ids import IdIndex
from ._readers.formats import read_pairs
from ._readers.pairs import FEATURES, INTERACTIONS, PairKind, Pairs, align, to_csr
from .features import Features
from .interactions import Interactions


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
    r"""Read who liked what from a file.

    Formats:

    - ``csv``: a table with one interaction a row and ``"`` as quote.
    - ``tsv``: the same with tabs and without quotes.
    - ``parquet``: a Parquet table with one interaction a row.
    - ``movielens``: ``user::item::rating::timestamp``, no header.
    - ``adjacency``: ``user item item ...``, whole numbers, one user a line (Gowalla).
    - ``citeulike``: ``count item item ...``, whole numbers; the user is the line number, from 0
      (users.dat of CiteULike).
    - ``npz``: ``scipy.sparse.save_npz``; values are weights, row and column numbers ids.

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
        Read the count that begins each ``citeulike`` line as one more item, which it is not. The
        paper did so with CiteULike-t: its Table 1 gives 142,794 pairs, where the data has
        134,860. Only useful for a comparison with the paper's own numbers.
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
        lists give every user with a line, with items or not; ``citeulike`` lists give the items
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
        If an argument is wrong, or is not an option of the format; the message then names the
        formats that take it.

    Warns
    -----
    UserWarning
        Pairs that occur repeatedly are merged (their weights are added; without weights they
        stay 1) and weights of zero are dropped, each with a warning that counts them.

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
    >>> likes.item_ids.tolist()
    ['rice', 'tea']
    >>> likes.matrix.toarray().tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    >>> folder.cleanup()
    """
    path = Path(path)
    options = {
        "user": user,
        "item": item,
        "rating": rating,
        "min_rating": min_rating,
        "weight": weight,
        "delimiter": delimiter,
        "header": header,
        "count_as_item": count_as_item,
    }
    pairs = read_pairs(path, INTERACTIONS, format, options)
    if not pairs.rows.size:
        raise DataError(f"{path} has no interactions")
    users, items = _index("user", "user_ids", user_ids), _index("item", "item_ids", item_ids)
    return Interactions(*_to_matrix(path, INTERACTIONS, pairs, users, items))


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
    r"""Read features of users or items from a file.

    Formats:

    - ``csv``: a table with one id and one tag of it a row, and ``"`` as quote.
    - ``tsv``: the same with tabs and without quotes.
    - ``parquet``: a Parquet table with one id and one tag of it a row.
    - ``genres``: a table as ``csv``, with all tags of an id in one column: ``Action|Comedy``
      (movies.csv of MovieLens).
    - ``citeulike``: ``count id id ...``, whole numbers, one tag a line (tag-item.dat of
      CiteULike).
    - ``npz``: ``scipy.sparse.save_npz``: a row for each object, a column for each feature.

    Text is UTF-8 and may be compressed with gzip (``.gz``).

    Parameters
    ----------
    path : str or path
        The file.
    format : str, default "auto"
        One of the formats above. ``auto`` goes by the extension (.csv, .tsv, .parquet, .npz;
        .dat is ``citeulike``) and takes a .csv file with a column ``genres`` for ``genres``.
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
        int64, others str, as in `load_interactions`; those of ``genres`` are str. Without ``ids``
        and ``names`` both are sorted ascending, and ``citeulike`` lists give the ids that occur.
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
    """
    path = Path(path)
    check_choice("unknown", unknown, ("error", "drop"))
    if check_int("min_count", min_count, 0) and names is not None:
        raise ValueError("min_count has no meaning with names, which say what to keep")
    options = {
        "id": id,
        "tag": tag,
        "weight": weight,
        "delimiter": delimiter,
        "header": header,
        "separator": separator,
        "names_file": names_file,
        "count_as_item": count_as_item,
    }
    pairs = read_pairs(path, FEATURES, format, options)
    if not pairs.rows.size:
        raise DataError(f"{path} has no features")

    wanted_ids, wanted_names = _index("id", "ids", ids), _index("name", "names", names)
    if not pairs.rows_have_ids and wanted_ids is not None:
        pairs = _name_rows(path, pairs, wanted_ids)
    matrix, known_ids, known_names = _to_matrix(
        path, FEATURES, pairs, wanted_ids, wanted_names, drop=unknown == "drop"
    )
    matrix.eliminate_zeros()  # where duplicates added up to one
    if min_count:
        matrix, known_names = _keep_frequent(path, matrix, known_names, min_count)
    return Features(matrix, known_ids if pairs.rows_have_ids else None, known_names)


def _index(what: str, argument: str, ids: ArrayLike | None) -> IdIndex | None:
    return None if ids is None else IdIndex(what, ids, argument=argument)


def _name_rows(path: Path, pairs: Pairs, ids: IdIndex) -> Pairs:
    """Give ids to the rows of a matrix whose file holds none."""
    if ids.array.size != pairs.row_ids.size:
        raise DataError(
            f"{path} has {pairs.row_ids.size} rows, but there are {ids.array.size} ids; it must "
            "have one row for each of the ids, in their order"
        )
    return pairs._replace(row_ids=ids.array, rows_have_ids=True)


def _to_matrix(
    path: Path,
    kind: PairKind,
    pairs: Pairs,
    wanted_rows: IdIndex | None,
    wanted_columns: IdIndex | None,
    drop: bool = False,
) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
    """Return a float32 matrix and the ids of its rows and columns.

    These are the wanted ids, or those of the file where none are wanted. Pairs with other ids are
    an error, or are left out with ``drop``.
    """
    rows, row_ids = align(path, kind.row, pairs.rows, pairs.row_ids, wanted_rows, drop)
    columns, column_ids = align(
        path, kind.column, pairs.columns, pairs.column_ids, wanted_columns, drop
    )
    weights = pairs.weights
    if drop:
        is_known = (rows >= 0) & (columns >= 0)
        if not is_known.any():
            raise DataError(f"{path}: none of these ids has any of these names")
        rows, columns = rows[is_known], columns[is_known]
        weights = None if weights is None else weights[is_known]
    matrix = to_csr(path, rows, columns, weights, (row_ids.size, column_ids.size))
    return matrix, row_ids, column_ids


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
