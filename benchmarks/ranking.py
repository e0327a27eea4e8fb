"""How well any recommender ranks held-out items: all peers are measured by this one piece of code.

A peer is judged by the scores it gives, a product of two matrices: the vectors of users and items,
a column of biases added where it has any, or, for an item-based model, the users' likes and the
item-item matrix. Recall and NDCG are those of ``cml_fast.evaluation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from cml_fast.evaluation import Evaluation, measure_rankings

BLOCK_BYTES = 128 << 20  # of scores that are held at once


@dataclass(frozen=True)
class Scores:
    """``users @ items.T``: (n_users, r), dense or sparse, and (n_items, r), float32.

    ``cpu_seconds`` is what training has taken so far, if another process trained.
    """

    users: np.ndarray | sp.csr_array
    items: np.ndarray
    cpu_seconds: float | None = None

    @classmethod
    def of_distances(cls, users: np.ndarray, items: np.ndarray) -> Scores:
        """Those that rank by squared distance, nearest first: 2 u v - |v|^2."""
        norms = np.einsum("ij,ij->i", items, items)
        return cls.with_biases(2 * users, items, -norms)

    @classmethod
    def with_biases(cls, users: np.ndarray, items: np.ndarray, biases: np.ndarray) -> Scores:
        """Those with a bias for each item; one for each user changes no ranking."""
        ones = np.ones(len(users))
        return cls(
            np.column_stack([users, ones]).astype(np.float32),
            np.column_stack([items, biases]).astype(np.float32),
        )

    def copy(self) -> Scores:
        return Scores(self.users.copy(), self.items.copy())


def rank(scores: Scores, users: np.ndarray, exclude: sp.csr_array, n: int) -> np.ndarray:
    """The n items with the highest scores for each of these users, (len(users), n); -1: no more."""
    n_items = len(scores.items)
    ranked = np.empty((len(users), n), dtype=np.int64)
    step = max(1, BLOCK_BYTES // (4 * n_items))
    for start in range(0, len(users), step):
        rows = users[start : start + step]
        block = np.asarray(scores.users[rows] @ scores.items.T)
        masked = exclude[rows]
        block[np.repeat(np.arange(len(rows)), np.diff(masked.indptr)), masked.indices] = -np.inf
        top = np.argpartition(-block, n - 1, axis=1)[:, :n]
        values = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        top, values = (np.take_along_axis(part, order, axis=1) for part in (top, values))
        ranked[start : start + len(rows)] = np.where(np.isneginf(values), -1, top)
    return ranked


def evaluate(
    scores: Scores, test: sp.csr_array, exclude: sp.csr_array, ks: Sequence[int]
) -> Evaluation:
    """Rank for all users with test items; what ``exclude`` stores is left out of the rankings."""
    return measure_rankings(lambda users, n: rank(scores, users, exclude, n), test, sorted(ks))
