"""What the readers of all formats have in common: (user, item) pairs, and a matrix from them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from ..errors import DataError


class Pairs(NamedTuple):
    """Pairs, (n_pairs,), as positions in the sorted ids; weights None stand for all 1."""

    users: np.ndarray
    user_ids: np.ndarray
    items: np.ndarray
    item_ids: np.ndarray
    weights: np.ndarray | None = None


def align(
    path: Path, role: str, codes: np.ndarray, ids: np.ndarray, wanted: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes as positions in the ids ``wanted``, and these; without them, change nothing."""
    if wanted is None:
        return codes, ids
    known = np.asarray(wanted)
    if known.dtype.kind == "O":  # strings from pandas
        known = np.asarray(known.tolist())
    if known.ndim != 1 or known.dtype.kind not in "iuU":
        raise TypeError(
            f"{role}_ids must be integers or strings in one dimension, got {known.dtype} of "
            f"shape {known.shape}"
        )
    if known.dtype.kind != "U":
        known = known.astype(np.int64)
    distinct, first = np.unique(known, return_index=True)
    if distinct.size < known.size or not known.size:
        raise ValueError(f"{role}_ids must be distinct and at least one, got {known!r}")
    if known.dtype.kind != ids.dtype.kind:  # a part of a file may look like integers
        ids = ids.astype(str)
        first = np.argsort(known.astype(str))
        distinct = known.astype(str)[first]
    at = np.minimum(np.searchsorted(distinct, ids), known.size - 1)
    unknown = np.flatnonzero(distinct[at] != ids)
    if unknown.size:
        raise DataError(
            f"{path}: {role} {ids[unknown[0]].item()!r} is not in {role}_ids "
            f"({unknown.size} of the file's {ids.size} ids are not)"
        )
    return first[at].astype(np.int32)[codes], known


def to_csr(
    path: Path,
    users: np.ndarray,
    items: np.ndarray,
    weights: np.ndarray | None,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return a canonical float32 matrix; duplicate pairs are merged with a warning."""
    values = np.ones(users.size, dtype=np.float32) if weights is None else weights
    coordinates = (users.astype(np.int32, copy=False), items.astype(np.int32, copy=False))
    matrix = sp.csr_array((values, coordinates), shape=shape)  # sorts, and adds up duplicates
    if matrix.nnz < users.size:
        how = "to one" if weights is None else "by adding their weights"
        warnings.warn(
            f"{path}: {users.size - matrix.nnz} duplicate rows were merged {how}", stacklevel=3
        )
    if weights is None:
        matrix.data[:] = 1
    elif not np.isfinite(matrix.data).all():
        raise DataError(f"{path}: the weights of duplicates add up to more than float32 holds")
    return matrix
