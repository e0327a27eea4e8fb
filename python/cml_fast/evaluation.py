"""How well a model ranks held-out items: recall and NDCG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._checks import check_int
from ._ids import interaction_rows
from ._neighbors import nearest
from .data.interactions import Interactions
from .errors import DataError
from .model import Model

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


def evaluate(
    model: Model,
    test: sp.sparray | sp.spmatrix | Interactions,
    exclude: sp.sparray
    | sp.spmatrix
    | Interactions
    | Sequence[sp.sparray | sp.spmatrix | Interactions]
    | None = None,
    ks: Iterable[int] = (10, 50, 100),
) -> Evaluation:
    """Rank all items for each user with test items, and measure the k nearest.

    Recall@k is the share of the user's test items among the k nearest items (Hsieh et al., WWW
    2017, section 4.1.2). NDCG@k has binary relevance, discounts 1 / log2(rank + 1), and is
    relative to the best possible ranking, which has min(k, number of test items) hits.

    Parameters
    ----------
    model : Model
    test : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The held-out items: its non-zero entries, whatever their values.
    exclude : one or a sequence of the same, optional
        Items taken out of a user's ranking: training, validation. A test item that is excluded
        counts as missed, with a warning.
    ks : iterable of int
        Lengths of the rankings, each at least 1; more than n_items are n_items.

    Returns
    -------
    Evaluation
        Of the users with at least one test item.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DataError
        If a matrix is not of the model's shape or has other ids, or ``test`` is empty.
    """
    lengths = _check_ks(ks)
    n_users, n_items = len(model.user_vectors), len(model.item_vectors)
    space = (np.arange(n_users), model.user_ids, model.item_ids)
    targets = interaction_rows("test", test, *space)
    mask = sp.csr_array((n_users, n_items), dtype=np.float32)
    for matrix in exclude if isinstance(exclude, list | tuple) else [exclude]:
        if matrix is not None:
            mask = mask + interaction_rows("exclude", matrix, *space)
    for matrix in (targets, mask):
        matrix.data.fill(1)  # only where they are matters, not their weights
    overlap = targets.multiply(mask).nnz
    if overlap:
        warnings.warn(f"{overlap} test items are also excluded and count as missed", stacklevel=2)
    if targets.nnz == 0:
        raise DataError("test has no interactions: there is nothing to evaluate")
    return measure(model, targets, mask, lengths)


def measure(
    model: Model, targets: sp.csr_array, mask: sp.csr_array, lengths: list[int]
) -> Evaluation:
    """`evaluate` without its checks: what is stored in the matrices is meant, whatever its value.

    ``lengths`` are ascending, and ``targets`` has at least one entry.
    """

    def rank(users: np.ndarray, n: int) -> np.ndarray:
        return nearest(model.user_vectors[users], model.item_vectors, n, mask[users])[0]

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


def _check_ks(ks: Iterable[int]) -> list[int]:
    """Return distinct lengths in ascending order."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise TypeError(f"ks must be a sequence of integers such as (10, 50), got {ks!r}")
    lengths = sorted({check_int("ks", k, 1) for k in ks})
    if not lengths:
        raise ValueError("ks must have at least one length, got none")
    return lengths
