"""How implicit's models understand ids and filters, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

Found = tuple[np.ndarray, np.ndarray]


def ids_in(name: str, ids: Any, n: int) -> np.ndarray:
    """Return ids, one or several, as a one-dimensional int64 array within [0, n)."""
    array = np.atleast_1d(np.asarray(ids))
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be an integer or a list of integers, got an array of {array.dtype} with "
            f"shape {array.shape}"
        )
    bad = array[(array < 0) | (array >= n)]
    if bad.size:
        raise IndexError(f"{name} must be in [0, {n}), got {bad[0]}")
    return array.astype(np.int64)


def liked_rows(user_items: Any, n_users: int, n_items: int) -> sp.csr_array:
    """Return the likes of the users asked for, a row each."""
    if not sp.issparse(user_items):
        raise ValueError(
            "user_items must be a sparse matrix with a row for each user in userid, such as "
            f"user_items[userid], got {type(user_items).__name__}"
        )
    if user_items.shape != (n_users, n_items):
        raise ValueError(
            f"user_items must have a row for each user in userid and a column for each item, "
            f"{(n_users, n_items)}, got {user_items.shape}; give user_items[userid]"
        )
    likes = sp.csr_array(user_items, copy=True)
    likes.eliminate_zeros()
    return likes


def allowed_rows(what: str, only: Any, left_out: Any, n: int) -> np.ndarray | None:
    """Return the rows that ``items=`` or ``filter_items=`` (or users) leave; None: all."""
    if only is not None and left_out is not None and np.size(left_out):
        raise ValueError(f"{what} and filter_{what} cannot both be set; leave one out")
    if only is not None:
        return np.unique(ids_in(what, only, n))
    if left_out is None:
        return None
    return np.setdiff1d(np.arange(n), ids_in(f"filter_{what}", left_out, n))


def similar(
    ids: np.ndarray, n: int, allowed: np.ndarray | None, search: Callable[..., Found]
) -> Found:
    """Find the nearest of each, itself first, also where others have the same vector."""
    rows, distances = search(ids, n, among=allowed)  # without itself
    missing = np.zeros(len(ids), bool) if allowed is None else ~np.isin(ids, allowed)
    rows = np.column_stack([np.where(missing, -1, ids), rows])
    distances = np.column_stack([np.where(missing, np.inf, 0), distances])
    order = np.argsort(rows < 0, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)


def answer(asked: Any, n: int, allowed: np.ndarray | None, find: Callable[[int], Found]) -> Found:
    """Return ids (int32) and scores (float32); of one user or item, those that exist.

    ``find`` finds so many of what is allowed, by rows and distances.
    """
    k = n if allowed is None else min(n, len(allowed))
    rows, distances = find(k) if k else np.empty((2, np.size(asked), 0))
    ids, scores = rows.astype(np.int32), (1 / (1 + distances)).astype(np.float32)
    if np.ndim(asked) > 0:
        return ids, scores
    return ids[0][ids[0] >= 0], scores[0][ids[0] >= 0]
