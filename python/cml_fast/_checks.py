"""Checks of arguments: every message names the argument, the value and what would be right."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from .errors import DataError

# Item and user numbers are stored as int32 in the CSR indices; counts and offsets are int64.
MAX_OBJECTS = 2**31 - 1


def check_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high], or raise TypeError / ValueError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {bounds}, got {value!r}")
    return int(value)


def check_real(name: str, value: Any, low: float, *, strict: bool = False) -> float:
    """Return ``value`` as a finite float that is >= low (> low if ``strict``)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    if not math.isfinite(number) or number < low or (strict and number == low):
        raise ValueError(
            f"{name} must be a finite number {'above' if strict else 'of at least'} {low:g}, "
            f"got {value!r}"
        )
    return number


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


def check_matrix(name: str, matrix: Any, shape: tuple[int, int] | None = None) -> sp.csr_array:
    """Return interactions as a canonical float32 CSR array: sorted, merged, no zeros.

    Accepts scipy.sparse matrices and arrays in any format. Duplicates are summed and explicit
    zeros dropped, each with a warning that counts them. The argument itself is not changed.

    Raises
    ------
    TypeError
        If ``matrix`` is not sparse or its values are not numbers.
    DataError
        If it is empty, has another ``shape`` than asked for, indices out of range, or NaN,
        infinite or negative values.
    """
    if not sp.issparse(matrix):
        hint = "; wrap it: scipy.sparse.csr_array(x)" if isinstance(matrix, np.ndarray) else ""
        raise TypeError(
            f"{name} must be a scipy.sparse matrix of users x items, got {type(matrix).__name__}"
            + hint
        )
    if matrix.ndim != 2:
        raise DataError(f"{name} must have two dimensions (users x items), got {matrix.ndim}")
    n_users, n_items = matrix.shape
    if shape is not None and (n_users, n_items) != tuple(shape):
        raise DataError(
            f"{name} must have shape {tuple(shape)} (users x items), got {(n_users, n_items)}"
        )
    if n_users == 0 or n_items == 0:
        raise DataError(f"{name} must have at least one user and one item, got {matrix.shape}")
    if max(n_users, n_items) > MAX_OBJECTS:
        raise DataError(f"{name} may have at most {MAX_OBJECTS} users and items: {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {matrix.dtype}")

    coo = matrix.tocoo()
    if coo.nnz and (
        min(coo.row.min(), coo.col.min()) < 0
        or coo.row.max() >= n_users
        or coo.col.max() >= n_items
    ):
        raise DataError(f"{name} has row or column indices outside its shape {matrix.shape}")
    with np.errstate(over="ignore"):
        values = coo.data.astype(np.float32)
    for fault, what in ((~np.isfinite(values), "NaN or infinite"), (values < 0, "negative")):
        if fault.any():
            at = int(np.flatnonzero(fault)[0])
            raise DataError(
                f"{name} has {int(fault.sum())} {what} values, the first at row {coo.row[at]}, "
                f"column {coo.col[at]}; weights must be finite and positive"
            )
    csr = sp.csr_array((values, (coo.row, coo.col)), shape=(n_users, n_items))
    # csr_array sums duplicates on construction from coordinates.
    duplicates = coo.nnz - csr.nnz
    if duplicates:
        warnings.warn(
            f"{name}: {duplicates} duplicate entries were merged by adding their values",
            stacklevel=3,
        )
    stored = csr.nnz
    csr.eliminate_zeros()
    if stored - csr.nnz:
        warnings.warn(
            f"{name}: {stored - csr.nnz} explicit zeros were dropped (a zero is no interaction)",
            stacklevel=3,
        )
    csr.sort_indices()
    if csr.nnz and not np.isfinite(csr.data.max()):
        raise DataError(f"{name}: merging duplicate entries gave a weight that is not finite")
    return csr
