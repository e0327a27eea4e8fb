"""The rankings of a model or another recommender, checked, and the places of items in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._search.exact import places as exact_places
from ..metrics.measuring import Places, Rank, stored
from ..model import Model
from .held_out import HeldOut

# Items in the full rankings that are held at a time, for recommenders whose AUC needs these.
FULL_ENTRIES = 1 << 22


def ways_to_rank(model: Any, data: HeldOut, n_threads: int | None = None) -> tuple[Rank, Places]:
    """Return functions that rank the first items, and that find the places of the test items."""
    relevant, exclude = data.relevant, data.exclude
    n_items = relevant.shape[1]

    def n_ranked(users: np.ndarray) -> np.ndarray:
        counts: np.ndarray = n_items - np.diff(exclude.indptr)[users].astype(np.int64)
        return counts

    def rank(users: np.ndarray, n: int) -> np.ndarray:
        if isinstance(model, Model):
            return model._ranked(users, n, exclude[users], n_threads)
        return _check_ranking(model, model.recommend(users, n, exclude), n, exclude[users])

    def places(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(model, Model):
            return places_in_rankings(users), n_ranked(users)
        vectors = model.user_vectors[users], model.item_vectors
        before = exact_places(*vectors, relevant[users], exclude[users], n_threads)
        cold = model._is_cold(users)
        if cold.any():  # the most popular items are first, not the nearest
            pairs = np.repeat(cold, np.diff(relevant.indptr)[users])
            before[pairs] = places_in_rankings(users[cold])
        return before, n_ranked(users)

    def places_in_rankings(users: np.ndarray) -> np.ndarray:
        before = []
        step = max(1, FULL_ENTRIES // n_items)
        for start in range(0, len(users), step):
            some = users[start : start + step]
            before.append(_places_in(rank(some, n_items), relevant[some], n_ranked(some)))
        return np.concatenate(before)

    return rank, places


def _places_in(ranked: np.ndarray, wanted: sp.csr_array, n_ranked: np.ndarray) -> np.ndarray:
    """Return the place of each wanted item in full rankings, (nnz,), from 0.

    If a ranking has all ``n_ranked`` items that are not excluded, an item missing in it is excluded
    and has the place after all others; otherwise all that are missing share the places after it.
    """
    m, n_items = wanted.shape
    there = ranked >= 0
    length = there.sum(axis=1)
    place = np.full((m, n_items), -1.0)
    rows, ranks = np.nonzero(there)
    place[rows, ranked[there]] = ranks
    owners = np.repeat(np.arange(m), np.diff(wanted.indptr))
    found = place[owners, wanted.indices]
    missing = np.where(length == n_ranked, n_ranked, length + (n_ranked - length - 1) / 2)
    before: np.ndarray = np.where(found < 0, missing[owners], found)
    return before


def _check_ranking(model: Any, found: Any, n: int, exclude: sp.csr_array) -> np.ndarray:
    """Return the rows that a recommender recommends, or raise ValueError."""
    name = f"{type(model).__name__}.recommend"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(f"{name} must return a tuple (rows, scores), got {type(found).__name__}")
    rows, (m, n_items) = np.asarray(found[0]), exclude.shape
    if rows.shape != (m, n) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must return integers of shape {(m, n)}, got {rows.dtype} of shape {rows.shape}"
        )
    rows = rows.astype(np.int64, copy=False)
    if rows.min() < -1 or rows.max() >= n_items:
        raise ValueError(
            f"{name} must return row numbers of items in [0, {n_items}), or -1 where there are no "
            f"more, got numbers from {rows.min()} to {rows.max()}"
        )
    ordered = np.sort(rows, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError(f"{name} must return distinct items, got one twice for a user")
    if stored(rows, exclude).any():
        raise ValueError(f"{name} must leave out the items of exclude, got some of them")
    return rows
