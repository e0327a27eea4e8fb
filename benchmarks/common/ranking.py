"""Measure how well a recommender ranks held-out items; the same code measures all of them.

A recommender gives scores, a product of two matrices: the vectors of users and items, with a column
of biases where it has any, or other matrices for an item-based model. Recall and NDCG are defined
as in ``cml_fast.evaluation``. Rankings are not sorted: the place of each held-out item is counted,
which is much faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from cml_fast.metrics import Evaluation

BLOCK_BYTES = 128 << 20  # of scores in memory at a time


@dataclass(frozen=True)
class Scores:
    """``users @ items.T``: (n_users, r) and (n_items, r), float32; the items may be sparse.

    ``cpu_seconds`` is what training has taken so far, if another process trained.
    """

    users: np.ndarray
    items: np.ndarray | sp.csr_array
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


def points_of_products(users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points whose distances order the items as their products with a user do, up to rounding.

    One more dimension, which is 0 for users, puts all items at the same distance from the origin;
    |u - v|^2 is then a constant of the user less twice the product (Bachrach et al., RecSys 2014).
    The length of u is arbitrary: one for all users, the same as the items', keeps rounding small.
    """
    users, items = users.astype(np.float64), items.astype(np.float64)
    users /= np.maximum(np.linalg.norm(users, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    items /= np.linalg.norm(items, axis=1).max()
    rest = np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", items, items), 0))
    return (
        np.column_stack([users, np.zeros(len(users))]).astype(np.float32),
        np.column_stack([items, rest]).astype(np.float32),
    )


def places(scores: Scores, wanted: sp.csr_array, exclude: sp.csr_array) -> np.ndarray:
    """How many items come before each stored entry of ``wanted``, (nnz,), in its order.

    What ``exclude`` stores is in no ranking. Of items with equal scores, the first comes first.
    """
    n_items = scores.items.shape[0]
    users = np.flatnonzero(np.diff(wanted.indptr))
    found = np.empty(wanted.nnz, dtype=np.int64)
    step = max(1, BLOCK_BYTES // (4 * n_items))
    for start in range(0, len(users), step):
        rows = users[start : start + step]
        block = np.asarray(scores.users[rows] @ scores.items.T)
        masked = exclude[rows]
        block[np.repeat(np.arange(len(rows)), np.diff(masked.indptr)), masked.indices] = -np.inf
        for user, row in zip(rows, block, strict=True):
            for at in range(wanted.indptr[user], wanted.indptr[user + 1]):
                item = wanted.indices[at]
                before, after = row[:item], row[item + 1 :]
                found[at] = np.count_nonzero(before >= row[item])
                found[at] += np.count_nonzero(after > row[item])
    return found


def sample_of_users(held_out: sp.csr_array, limit: int) -> sp.csr_array:
    """The held-out items of at most ``limit`` users, drawn at random, but always the same ones."""
    users = np.flatnonzero(np.diff(held_out.indptr))
    if len(users) <= limit:
        return held_out
    keep = np.zeros(held_out.shape[0], dtype=np.float32)
    keep[np.random.default_rng(0).choice(users, limit, replace=False)] = 1
    sample = sp.csr_array(sp.diags_array(keep) @ held_out)
    sample.eliminate_zeros()
    return sample


def evaluate(
    scores: Scores, test: sp.csr_array, exclude: sp.csr_array, ks: Sequence[int]
) -> Evaluation:
    """Rank for all users with test items, of which none may be in ``exclude``."""
    counts = np.diff(test.indptr)
    users = np.flatnonzero(counts)
    counts = counts[users]
    at = np.repeat(np.arange(len(users)), counts)
    found = places(scores, test, exclude)
    ideal = np.cumsum(1 / np.log2(np.arange(2, max(ks) + 2)))
    recall, ndcg = {}, {}
    for k in ks:
        hits = found < k
        gains = np.where(hits, 1 / np.log2(found + 2), 0)
        recall[k] = np.bincount(at, hits, len(users)) / counts
        ndcg[k] = np.bincount(at, gains, len(users)) / ideal[np.minimum(counts, k) - 1]
    return Evaluation(users, {"recall": recall, "ndcg": ndcg})
