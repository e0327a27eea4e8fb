"""Interactions whose users and items must be those of a model."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import check_matrix
from ..errors import DataError
from ._ids import IdIndex, same_ids
from .interactions import Interactions

SINGLE = np.finfo(np.float32)
# Matrices without entries are kept for so many shapes; each has 4 or 8 bytes per row.
SHAPES_KEPT = 4


def interaction_rows(
    name: str,
    value: sp.sparray | sp.spmatrix | Interactions,
    rows: np.ndarray,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    *,
    stacklevel: int = 3,
) -> sp.csr_array:
    """Return a copy of some rows of interactions that must be of these users and items.

    Warnings point at the caller of the caller, or elsewhere by ``stacklevel``.

    Raises
    ------
    TypeError
        If ``value`` is no sparse matrix.
    DataError
        If it has another shape, other ids, or values that are not finite and positive.
    """
    shape = (len(user_ids), len(item_ids))
    matrix = value.matrix if isinstance(value, Interactions) else value
    if not sp.issparse(matrix) or matrix.shape != shape or matrix.format != "csr":
        matrix = check_matrix(name, matrix, shape, stacklevel=stacklevel + 1)
    if isinstance(value, Interactions):
        for what, ids, known in (
            ("user_ids", value.user_ids, user_ids),
            ("item_ids", value.item_ids, item_ids),
        ):
            if not same_ids(ids, known):
                raise DataError(
                    f"{name}.{what} are not those of the model; if the rows and columns mean the "
                    f"same, give {name}.matrix"
                )
    # Only these rows are looked at: one user's recommendations cost no pass over the matrix.
    if len(rows) == 1 and (row := _good_row(matrix, int(rows[0]))) is not None:
        return row
    chosen = sp.csr_array(matrix)[rows]
    try:
        return check_matrix(name, chosen, chosen.shape, stacklevel=stacklevel + 1)
    except DataError:
        check_matrix(name, matrix, shape)  # the same fault, but with the user's own row number
        raise


def _good_row(matrix: sp.csr_array, row: int) -> sp.csr_array | None:
    """Return a row of a CSR matrix as `check_matrix` does; None if there is anything to mend.

    A request for one user with an index takes hardly longer than the checks of `check_matrix`.
    """
    n_rows, n_columns = matrix.shape
    if matrix.indptr.shape != (n_rows + 1,):
        return None
    start, stop = matrix.indptr[row : row + 2].tolist()
    if not 0 <= start < stop <= min(matrix.indices.size, matrix.data.size):
        return None
    columns, values = matrix.indices[start:stop], matrix.data[start:stop]
    if (
        columns[0] >= 0
        and columns[-1] < n_columns
        and (columns[1:] > columns[:-1]).all()
        and values.dtype.kind in "biuf"
        and values.min() >= SINGLE.tiny
        and values.max() <= SINGLE.max
    ):
        # A copy of an empty matrix with other arrays: SciPy's constructor checks for five times as
        # long as all else here takes what has just been checked.
        chosen = copy.copy(nothing_excluded((1, n_columns)))
        chosen.data = values.astype(np.float32, copy=False)
        chosen.indices, chosen.indptr = columns, np.array([0, stop - start], columns.dtype)
        return chosen
    return None


@lru_cache(SHAPES_KEPT)
def nothing_excluded(shape: tuple[int, int]) -> sp.csr_array:
    """Return a matrix without entries, which nobody may change: it is used again.

    Making it takes a fifth of a search for one user with an index.
    """
    return sp.csr_array(shape, dtype=np.float32)


def item_interactions(
    name: str,
    value: sp.sparray | sp.spmatrix | Interactions,
    items: IdIndex,
    n_rows: int | None = None,
    *,
    own: bool = False,
) -> sp.csr_array:
    """Return interactions of anyone with these items, a column for each.

    The rows, so many if that is given, are whom the caller takes them to be. Ids of items that
    come with them may be in another order, or only some of these. With ``own`` no array is shared
    with ``value``. Warnings point at the caller of the caller.

    Raises
    ------
    TypeError
        If ``value`` is no sparse matrix, or ids are of another type.
    ValueError
        If ids are not unique, or not among these items.
    DataError
        If it has another shape, or values that are not finite and positive.
    """
    n_items = len(items.array)
    if isinstance(value, Interactions):
        matrix = check_matrix(name, value.matrix, stacklevel=4)
        columns = items.rows(IdIndex(f"{name}.item", value.item_ids, matrix.shape[1]).array)
        pairs = matrix.tocoo()
        matrix = sp.csr_array(
            (pairs.data, (pairs.row, columns[pairs.col])), shape=(matrix.shape[0], n_items)
        )
    else:
        shape = (value.shape[0], n_items) if sp.issparse(value) else None
        matrix = check_matrix(name, value, shape, own=own, stacklevel=4)
    if n_rows is not None and matrix.shape[0] != n_rows:
        raise DataError(f"{name} must have {n_rows} rows, got {matrix.shape[0]}")
    return matrix
