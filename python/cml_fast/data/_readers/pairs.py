"""What the readers of all formats have in common: pairs, such as (user, item), and a matrix."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from ...errors import DataError


class Pairs(NamedTuple):
    """Pairs, (n_pairs,), as positions in the ids; weights None stand for all 1."""

    rows: np.ndarray
    row_ids: np.ndarray
    columns: np.ndarray
    column_ids: np.ndarray
    weights: np.ndarray | None = None


def align(
    path: Path,
    role: str,
    codes: np.ndarray,
    ids: np.ndarray,
    argument: str,
    wanted: ArrayLike | None,
    drop: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes as positions in the ids ``wanted``, and these; without them, change nothing.

    Ids that are not wanted are an error, or with ``drop`` get position -1 and a warning.
    """
    if wanted is None:
        return codes, ids
    known = check_ids(argument, wanted)
    distinct = known
    if known.dtype.kind != ids.dtype.kind:  # a part of a file may look like integers
        ids, distinct = ids.astype(str), known.astype(str)
    first = np.argsort(distinct)
    distinct = distinct[first]
    at = np.minimum(np.searchsorted(distinct, ids), known.size - 1)
    unknown = np.flatnonzero(distinct[at] != ids)
    positions = first[at].astype(np.int32)
    if unknown.size:
        what = (
            f"{path}: {role} {ids[unknown[0]].item()!r} is not in {argument} "
            f"({unknown.size} of the file's {ids.size} {role}s are not)"
        )
        if not drop or unknown.size == ids.size:
            raise DataError(what)
        warnings.warn(f"{what}; left out", stacklevel=3)
        positions[unknown] = -1
    return positions[codes], known


def check_ids(argument: str, wanted: ArrayLike) -> np.ndarray:
    """Return ids given as an argument as int64 or str."""
    known = np.asarray(wanted)
    if known.dtype.kind == "O":  # strings from pandas
        known = np.asarray(known.tolist())
    if known.ndim != 1 or known.dtype.kind not in "iuU":
        raise TypeError(
            f"{argument} must be integers or strings in one dimension, got {known.dtype} of "
            f"shape {known.shape}"
        )
    if known.dtype.kind != "U":
        known = known.astype(np.int64)
    if np.unique(known).size < known.size or not known.size:
        raise ValueError(f"{argument} must be distinct and at least one, got {known!r}")
    return known


def to_csr(
    path: Path,
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray | None,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return a canonical float32 matrix; duplicate pairs are merged with a warning."""
    values = np.ones(rows.size, dtype=np.float32) if weights is None else weights
    coordinates = (rows.astype(np.int32, copy=False), columns.astype(np.int32, copy=False))
    matrix = sp.csr_array((values, coordinates), shape=shape)  # sorts, and adds up duplicates
    if matrix.nnz < rows.size:
        how = "to one" if weights is None else "by adding their weights"
        warnings.warn(
            f"{path}: {rows.size - matrix.nnz} duplicate rows were merged {how}", stacklevel=3
        )
    if weights is None:
        matrix.data[:] = 1
    elif not np.isfinite(matrix.data).all():
        raise DataError(f"{path}: the weights of duplicates add up to more than float32 holds")
    return matrix
