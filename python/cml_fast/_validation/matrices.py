"""Checks of matrices, vectors and row numbers."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..errors import DataError

# Row numbers of items and users are int32 in CSR indices; counts and offsets are int64.
MAX_OBJECTS = 2**31 - 1
# Squared distances between vectors with components up to this do not overflow float32.
LARGEST_COMPONENT = 1e15
# Entries that are checked together where a check needs memory for each of them.
BLOCK = 1 << 20


class MatrixKind(NamedTuple):
    """The words that messages use for a matrix, and whether its values may be negative.

    ``loader`` is the function that makes one of files and data frames.
    """

    row: str
    column: str
    entry: str
    loader: str
    signed: bool

    def reading_hint(self, value: Any) -> str:
        """What to do with a file or a data frame that was given instead of a matrix."""
        if isinstance(value, str | os.PathLike) or hasattr(value, "columns"):
            return f"; cml_fast.data.{self.loader} reads files and data frames"
        return ""


INTERACTIONS = MatrixKind("user", "item", "interaction", "load_interactions", signed=False)
FEATURES = MatrixKind("object", "feature", "feature", "load_features", signed=True)


def check_rows(name: str, rows: Any, n_rows: int) -> np.ndarray:
    """Return row numbers as a 1-d int64 array within [0, n_rows); a scalar gives one row."""
    array = np.atleast_1d(np.asarray(rows))
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be row numbers (integers, one-dimensional), got an array of "
            f"{array.dtype} with shape {array.shape}; translate external ids first"
        )
    bad = (array < 0) | (array >= n_rows)
    if bad.any():
        raise ValueError(f"{name} must be in [0, {n_rows}), got {array[bad][0]}")
    return array.astype(np.int64, copy=False)


def check_counts(name: str, counts: Any, n: int) -> np.ndarray:
    """Return a read-only int64 copy of n numbers that are not negative."""
    array = np.asarray(counts)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be {n} integers, one for each row, got an array of {array.dtype} with "
            f"shape {array.shape}"
        )
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got {array.min()}")
    own = array.astype(np.int64)
    own.flags.writeable = False
    return own


def check_flags(name: str, flags: Any, n: int) -> np.ndarray:
    """Return a read-only copy of n bools."""
    array = np.asarray(flags)
    if array.shape != (n,) or array.dtype != bool:
        raise TypeError(
            f"{name} must be {n} bools, one for each row, got an array of {array.dtype} with shape "
            f"{array.shape}"
        )
    own = np.array(array)
    own.flags.writeable = False
    return own


def check_vectors(name: str, vectors: npt.ArrayLike) -> np.ndarray:
    """Return a read-only float32 copy."""
    given = np.asarray(vectors)
    if given.ndim != 2 or given.dtype.kind != "f":
        raise TypeError(
            f"{name} must be a two-dimensional array of floats, got {given.dtype} with shape "
            f"{given.shape}"
        )
    if 0 in given.shape:
        raise ValueError(f"{name} must have at least one row and one column, got {given.shape}")
    # Written so that NaN fails as well.
    if not max(given.max(), -given.min()) <= LARGEST_COMPONENT:
        at = np.argwhere(~(np.abs(given) <= LARGEST_COMPONENT))[0]
        raise ValueError(
            f"{name} must be finite and within {LARGEST_COMPONENT:g}, got {given[tuple(at)]} at "
            f"row {at[0]}, column {at[1]}"
        )
    own = np.array(given, dtype=np.float32, order="C")
    own.flags.writeable = False
    return own


def check_matrix(
    name: str,
    matrix: Any,
    shape: tuple[int, int] | None = None,
    *,
    kind: MatrixKind = INTERACTIONS,
    own: bool = False,
    stacklevel: int = 3,
) -> sp.csr_array:
    """Return a sparse matrix as a canonical float32 CSR array: sorted, merged, no zeros.

    Accepts scipy.sparse matrices and arrays in any format. Duplicates are summed and explicit
    zeros are dropped, each with a warning that counts them. The warning points at the caller of
    the caller, or elsewhere by ``stacklevel``. The argument itself is not changed, but the result
    may share its arrays, so do not write to the result. With ``own`` it shares nothing: what is
    checked is a copy, and stays as it is whoever writes to the argument, now or later.

    Raises
    ------
    TypeError
        If ``matrix`` is not sparse or its values are not numbers.
    DataError
        If it is empty, is not of the given ``shape``, or has indices out of range or values that
        are NaN, infinite or, unless the ``kind`` is signed, negative.
    """
    _check_shape(name, matrix, shape, kind)
    if own:
        matrix = copy.deepcopy(matrix)  # unlike matrix.copy() also of one that is damaged
    if matrix.format in ("csr", "csc"):
        _check_compressed(name, matrix)
    if matrix.format == "csr" and is_strictly_sorted(matrix.indices, matrix.indptr):
        values = _check_weights(
            name,
            matrix.data[: matrix.indptr[-1]],
            kind,
            lambda at: (np.searchsorted(matrix.indptr, at, side="right") - 1, matrix.indices[at]),
        )
        csr = sp.csr_array((values, matrix.indices[: values.size], matrix.indptr), matrix.shape)
    else:
        csr = _merge_duplicates(name, matrix, kind, stacklevel + 1)
    zeros = csr.nnz - np.count_nonzero(csr.data)
    if zeros:
        warnings.warn(
            f"{name}: {zeros} explicit zeros were dropped (a zero is no {kind.entry})",
            stacklevel=stacklevel,
        )
        csr = csr.copy()  # its arrays may be those of the argument
        csr.eliminate_zeros()
    return csr


def _check_shape(name: str, matrix: Any, shape: tuple[int, int] | None, kind: MatrixKind) -> None:
    axes = f"{kind.row}s x {kind.column}s"
    if not sp.issparse(matrix):
        hint = kind.reading_hint(matrix)
        if isinstance(matrix, np.ndarray):
            hint = "; wrap it: scipy.sparse.csr_array(x)"
        raise TypeError(
            f"{name} must be a scipy.sparse matrix of {axes}, got {type(matrix).__name__}" + hint
        )
    if matrix.ndim != 2:
        raise DataError(f"{name} must have two dimensions ({axes}), got {matrix.ndim}")
    if shape is not None and matrix.shape != tuple(shape):
        raise DataError(f"{name} must have shape {tuple(shape)} ({axes}), got {matrix.shape}")
    if 0 in matrix.shape:
        raise DataError(
            f"{name} must have at least one {kind.row} and one {kind.column}, got {matrix.shape}"
        )
    if max(matrix.shape) > MAX_OBJECTS:
        raise DataError(
            f"{name} may have at most {MAX_OBJECTS} {kind.row}s and {kind.column}s: {matrix.shape}"
        )
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {matrix.dtype}")


def _check_compressed(name: str, matrix: Any) -> None:
    """Raise DataError for CSR and CSC arrays that would make scipy read out of bounds."""
    n_major, n_minor = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    indptr, nnz = matrix.indptr, min(matrix.indices.size, matrix.data.size)
    if (
        indptr.shape != (n_major + 1,)
        or indptr[0] != 0
        or indptr[-1] > nnz
        or (indptr[1:] < indptr[:-1]).any()
    ):
        raise DataError(
            f"{name} is damaged: its indptr must have {n_major + 1} entries that rise from 0 to "
            f"at most {nnz}"
        )
    _check_range(name, matrix.shape, matrix.indices[: indptr[-1]], n_minor)


def _check_range(name: str, shape: tuple[int, int], indices: np.ndarray, size: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise DataError(f"{name} has row or column indices outside its shape {shape}")


def is_strictly_sorted(indices: np.ndarray, indptr: np.ndarray) -> bool:
    """Whether the indices of every row are in ascending order, without duplicates."""
    # Not has_canonical_format: scipy caches it, so it may be out of date.
    starts = indptr[(indptr > 0) & (indptr < indptr[-1])]
    for begin in range(1, int(indptr[-1]), BLOCK):
        end = min(begin + BLOCK, int(indptr[-1]))
        rises = indices[begin:end] > indices[begin - 1 : end - 1]
        first, last = np.searchsorted(starts, (begin, end))
        rises[starts[first:last] - begin] = True
        if not rises.all():
            return False
    return True


def _check_weights(
    name: str, weights: np.ndarray, kind: MatrixKind, place: Callable[[int], tuple[Any, Any]]
) -> np.ndarray:
    """Return weights as float32; ``place`` maps the position of a bad one to row and column."""
    with np.errstate(over="ignore"):
        values = weights.astype(np.float32, copy=False)
    # Minimum and maximum need no memory, and are NaN if any value is.
    low = -np.finfo(np.float32).max if kind.signed else 0
    if not values.size or (values.min() >= low and values.max() < np.inf):
        return values
    right = "finite" if kind.signed else "finite and positive"
    for fault, what in ((~np.isfinite(values), "NaN or infinite"), (values < 0, "negative")):
        if fault.any():
            row, column = place(int(fault.argmax()))
            raise DataError(
                f"{name} has {int(fault.sum())} {what} values, the first at row {row}, "
                f"column {column}; weights must be {right}"
            )
    return values


def _merge_duplicates(name: str, matrix: Any, kind: MatrixKind, stacklevel: int) -> sp.csr_array:
    """Return any sparse matrix as a checked float32 CSR array, sorted and without duplicates."""
    try:
        coo = matrix.tocoo()
    except (ValueError, IndexError) as error:
        raise DataError(f"{name} is damaged: {error}") from error
    for indices, size in zip((coo.row, coo.col), matrix.shape, strict=True):
        _check_range(name, matrix.shape, indices, size)
    values = _check_weights(name, coo.data, kind, lambda at: (coo.row[at], coo.col[at]))
    # scipy sorts coordinates and adds up duplicates.
    csr = sp.csr_array((values, (coo.row, coo.col)), shape=matrix.shape)
    if csr.nnz < coo.nnz:
        warnings.warn(
            f"{name}: {coo.nnz - csr.nnz} duplicate entries were merged by adding their values",
            stacklevel=stacklevel,
        )
        if not np.isfinite(csr.data).all():
            raise DataError(f"{name}: merging duplicate entries gave a weight that is not finite")
    return csr
