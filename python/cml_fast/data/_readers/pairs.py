"""What a reader returns, and how a format is described to the registry."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..._validation import matrices
from ...errors import DataError
from .._ids import IdIndex
from .._merging import merge_pairs


class Pairs(NamedTuple):
    """Pairs of ids, such as (user, item), with perhaps a weight for each.

    Attributes
    ----------
    rows, columns : numpy.ndarray, (n_pairs,), int
        The positions of the two ids of each pair in ``row_ids`` and ``column_ids``.
    row_ids, column_ids : numpy.ndarray, (n_rows,) and (n_columns,), int64 or str
    weights : numpy.ndarray, (n_pairs,), float32, or None
        None: all weights are 1.
    timestamps : numpy.ndarray, (n_pairs,), int64, float64 or datetime64[us], or None
    rows_have_ids : bool
        False: the file has no ids of rows, and ``row_ids`` are only row numbers.
    """

    rows: np.ndarray
    row_ids: np.ndarray
    columns: np.ndarray
    column_ids: np.ndarray
    weights: np.ndarray | None = None
    timestamps: np.ndarray | None = None
    rows_have_ids: bool = True


class PairKind(NamedTuple):
    """What the pairs of a file are: the roles of the two ids, and the matrix that they make."""

    row: str
    column: str
    matrix: matrices.MatrixKind


INTERACTIONS = PairKind("user", "item", matrices.INTERACTIONS)
FEATURES = PairKind("id", "tag", matrices.FEATURES)
# The role of a column of ratings that nobody asked for, which is only looked at.
UNUSED_RATING = "unused rating"
# The role of a column with another id of the item, for rows in which that of the item is blank.
SPARE_ITEM = "item if it is blank"


@dataclass(frozen=True)
class Format:
    """A row of the registry in ``formats.py``.

    Attributes
    ----------
    name : str
    read : function (source, builder, **options)
        Adds what is in a `Source` to a `PairBuilder`. It is called with the options that the caller
        gave, and no others, less those that the builder has.
    options : tuple of str
        The arguments of `load_interactions` and `load_features` that the format takes.
    extensions : tuple of str
        File extensions, such as ".csv", by which ``format="auto"`` knows the format.
    sniff : function (first line, bytes) -> bool, optional
        Whether a file with one of the extensions is of this format. Formats that have such a
        function are tried before those that go by the extension alone.
    kinds : tuple of PairKind
        What files of this format may hold.
    missing : tuple of str
        What stands for no id in files of this format.
    """

    name: str
    read: Callable[..., None]
    options: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    sniff: Callable[[bytes], bool] | None = None
    kinds: tuple[PairKind, ...] = (INTERACTIONS, FEATURES)
    missing: tuple[str, ...] = ()


class Aligned(NamedTuple):
    """Pairs' ids as positions in the ids of the result, -1 where they are not there.

    ``unknown`` says which ids are not, if there are any.
    """

    positions: np.ndarray
    ids: np.ndarray
    unknown: str | None = None


def align(
    name: str, role: str, codes: np.ndarray, ids: np.ndarray, wanted: IdIndex | None, drop: bool
) -> Aligned:
    """Return codes as positions in the ``wanted`` ids; without them, change nothing.

    Ids of the file that are not wanted are an error, unless they are to be dropped. If none is
    wanted, that is always an error.
    """
    if wanted is None:
        return Aligned(codes, ids)
    positions = wanted.find(ids)
    unknown = np.flatnonzero(positions < 0)
    if not unknown.size:
        return Aligned(positions[codes], wanted.array)
    (first,) = ids[unknown[:1]].tolist()
    what = (
        f"{role} {first!r} is not in {wanted.argument} ({unknown.size} of the file's {ids.size} "
        f"{role}s are not)"
    )
    if not drop:
        raise DataError(f"{name}: {what}; pass unknown='drop' to leave them out")
    if unknown.size == ids.size:
        raise DataError(f"{name}: {what}")
    return Aligned(positions[codes], wanted.array, what)


def merge(
    name: str,
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray | None,
    timestamps: np.ndarray | None,
    shape: tuple[int, int],
) -> tuple[sp.csr_array, np.ndarray | None]:
    """Return a canonical float32 matrix, and the timestamps of its entries.

    Duplicate pairs are merged with a warning: their weights are added, and the last timestamp is
    kept.
    """
    matrix, timestamps = merge_pairs(rows, columns, weights, timestamps, shape)
    if matrix.nnz < rows.size:
        how = "to one" if weights is None else "by adding their weights"
        warnings.warn(
            f"{name}: {rows.size - matrix.nnz} duplicate rows were merged {how}",
            stacklevel=stack_level(),
        )
    if weights is not None and not np.isfinite(matrix.data).all():
        raise DataError(f"{name}: the weights of duplicates add up to more than float32 holds")
    return matrix, timestamps


def stack_level() -> int:
    """Return the ``stacklevel`` with which a warning points at whoever called `cml_fast.data`."""
    package = __name__.removesuffix("._readers.pairs")
    frame, level = sys._getframe(1), 1
    while frame.f_back and f"{frame.f_globals['__name__']}.".startswith(f"{package}."):
        frame, level = frame.f_back, level + 1
    return level
