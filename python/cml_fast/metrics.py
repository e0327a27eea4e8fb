"""Recall and NDCG of rankings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._search.exact import nearest

# Ranked items held at once.
BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Recall and NDCG of the users that have test items.

    Attributes
    ----------
    users : numpy.ndarray, (m,), int64
        Row numbers of the users evaluated, ascending.
    recall_per_user, ndcg_per_user : dict of int to numpy.ndarray, (m,), float64
        By k; in [0, 1], in the order of ``users``.
    """

    users: np.ndarray
    recall_per_user: dict[int, np.ndarray]
    ndcg_per_user: dict[int, np.ndarray]

    @property
    def recall(self) -> dict[int, float]:
        """The mean recall over the users evaluated, by k."""
        return {k: float(values.mean()) for k, values in self.recall_per_user.items()}

    @property
    def ndcg(self) -> dict[int, float]:
        """The mean NDCG over the users evaluated, by k."""
        return {k: float(values.mean()) for k, values in self.ndcg_per_user.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the means as JSON values, such as {"recall@50": 0.31, ..., "users": 5000}."""
        means = {f"recall@{k}": value for k, value in self.recall.items()}
        means |= {f"ndcg@{k}": value for k, value in self.ndcg.items()}
        return {**means, "users": len(self.users)}

    def __str__(self) -> str:
        lines = [f"{len(self.users)} users", f"{'k':>6}  recall@k    NDCG@k"]
        lines += [f"{k:>6}  {self.recall[k]:8.4f}  {self.ndcg[k]:8.4f}" for k in self.recall]
        return "\n".join(lines)


def measure(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    targets: sp.csr_array,
    exclude: sp.csr_array,
    lengths: list[int],
) -> Evaluation:
    """Evaluate the nearest items of each user, without checking anything.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (n_users, r) and (n_items, r), float32
    targets, exclude : scipy.sparse.csr_array, (n_users, n_items)
        The held-out items, at least one, and those left out of the rankings. All stored entries
        count, whatever their values.
    lengths : list of int
        The values of k, ascending.
    """

    def rank(users: np.ndarray, n: int) -> np.ndarray:
        return nearest(user_vectors[users], item_vectors, n, exclude[users])[0]

    return measure_rankings(rank, targets, lengths)


def measure_rankings(
    rank: Callable[[np.ndarray, int], np.ndarray], targets: sp.csr_array, lengths: list[int]
) -> Evaluation:
    """Judge any rankings: ``rank(users, n)`` gives n item numbers for each, best first, -1: none.

    ``lengths`` are ascending, and ``targets`` has at least one entry.
    """
    users = np.flatnonzero(np.diff(targets.indptr))
    width = min(lengths[-1], targets.shape[1])
    step = max(1, BLOCK_ENTRIES // width)
    blocks = []
    for start in range(0, len(users), step):
        some = users[start : start + step]
        blocks.append(_measure_block(rank(some, width), targets[some], lengths))
    recall, ndcg = np.concatenate(blocks, axis=2)
    return Evaluation(
        users,
        dict(zip(lengths, recall, strict=True)),
        dict(zip(lengths, ndcg, strict=True)),
    )


def _measure_block(ranked: np.ndarray, wanted: sp.csr_array, ks: list[int]) -> np.ndarray:
    """Return recall and NDCG, (2, len(ks), len(ranked))."""
    (m, width), n_items = ranked.shape, wanted.shape[1]
    counts = np.diff(wanted.indptr)
    # A pair of user and item becomes one number; padding becomes one that no pair has.
    rows = np.arange(m)
    pairs = np.repeat(rows, counts) * n_items + wanted.indices
    hits = np.isin(np.where(ranked < 0, -1, ranked + rows[:, None] * n_items), pairs)
    discounts = 1 / np.log2(np.arange(2, width + 2))
    ideal = np.cumsum(discounts)
    gains = np.cumsum(hits * discounts, axis=1)
    result = np.empty((2, len(ks), m))
    for at, k in enumerate(ks):
        result[0, at] = hits[:, :k].sum(axis=1) / counts
        best = ideal[np.minimum(counts, k) - 1]
        result[1, at] = gains[:, min(k, width) - 1] / best
    return result
