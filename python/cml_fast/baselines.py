"""Simple recommenders that a model should beat.

Each is made from the likes of training, and has the method ``recommend(users, n, exclude)`` that
`evaluation.evaluate` and `comparison.compare` need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._search.filters import check_n
from ._search.popular import first_of_order, most_popular
from ._validation.matrices import check_matrix, check_rows
from ._validation.scalars import check_int
from .data._alignment import interaction_rows
from .data._ids import IdIndex
from .data.interactions import Interactions

Matrix: TypeAlias = sp.sparray | sp.spmatrix | Interactions
# Scores (float32) in memory at a time.
BLOCK_SCORES = 1 << 24


class Baseline(ABC):
    """What the baselines have in common.

    Attributes
    ----------
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,), int64 or str
        Those of the likes, or 0, 1, 2, ...
    user_counts, item_counts : numpy.ndarray, (n_users,) and (n_items,), int64
        The likes of each.
    """

    def __init__(self, train: Matrix, *, _stacklevel: int = 3) -> None:
        named = isinstance(train, Interactions)
        matrix = train.matrix if named else train
        self._likes = check_matrix("train", matrix, stacklevel=_stacklevel)
        n_users, n_items = self._likes.shape
        self.user_ids = IdIndex("train.user", train.user_ids if named else None, n_users).array
        self.item_ids = IdIndex("train.item", train.item_ids if named else None, n_items).array
        self.user_counts = np.diff(self._likes.indptr).astype(np.int64)
        self.item_counts = np.bincount(self._likes.indices, minlength=n_items)

    def recommend(
        self, users: npt.ArrayLike, n: int = 10, exclude: Matrix | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recommend n items to each user.

        Parameters
        ----------
        users : int or array_like of int, (m,)
            Row numbers.
        n : int
            At least 1.
        exclude : scipy.sparse matrix or array, (n_users, n_items), or Interactions, optional
            The non-zero entries of a user's row are items not to recommend.

        Returns
        -------
        rows : numpy.ndarray, (m, n), int64
            Row numbers of items, best first; -1 where there are no more. A scalar user gives shape
            (n,).
        scores : numpy.ndarray, (m, n), float32
            Higher is better; -inf where ``rows`` is -1.

        Raises
        ------
        TypeError, ValueError, DataError
            As for `Model.recommend`.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast.baselines import MostPopular
        >>> train = sp.csr_array([[1, 0, 0], [1, 1, 0], [1, 1, 1]])
        >>> rows, likes = MostPopular(train).recommend([0, 1], n=2, exclude=train)
        >>> rows.tolist(), likes.tolist()
        ([[1, 2], [2, -1]], [[2.0, 1.0], [1.0, -inf]])
        """
        rows = check_rows("users", users, len(self.user_ids))
        n = check_n(n, len(rows), len(self.item_ids))
        if exclude is None or rows.size == 0:
            mask = sp.csr_array((len(rows), len(self.item_ids)), dtype=np.float32)
        else:
            mask = interaction_rows("exclude", exclude, rows, self.user_ids, self.item_ids)
        items, scores = self._rank(rows, n, mask)
        return (items[0], scores[0]) if np.ndim(users) == 0 else (items, scores)

    @abstractmethod
    def _rank(self, rows: np.ndarray, n: int, mask: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
        """Return items (m, n), int64, and scores, float32, without what the mask stores."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_users={len(self.user_ids)}, n_items={len(self.item_ids)})"


class MostPopular(Baseline):
    """Recommends everybody the items that have the most likes; the scores are their numbers.

    Parameters
    ----------
    train : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The likes; their weights do not matter.

    Raises
    ------
    TypeError, DataError
        If ``train`` is no sparse matrix, or has values that are not finite and positive.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast.baselines import MostPopular
    >>> MostPopular(sp.csr_array([[1, 0, 1], [0, 0, 1]])).recommend(0, n=3)[0].tolist()
    [2, 0, 1]
    """

    def _rank(self, rows: np.ndarray, n: int, mask: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
        items = most_popular(self.item_counts, n, mask)
        return items, np.where(items < 0, -np.inf, self.item_counts[items]).astype(np.float32)


class RandomItems(Baseline):
    """Recommends random items, the same for a user in each call; the score of rank 1, 2, ... is -1,
    -2, ...

    Parameters
    ----------
    train : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        Says which users and items there are.
    random_state : int
        Seed.

    Raises
    ------
    TypeError, ValueError, DataError
        If ``train`` is no sparse matrix, or has values that are not finite and positive, or
        ``random_state`` is negative or no integer.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast.baselines import RandomItems
    >>> sorted(RandomItems(sp.csr_array([[1, 0, 1], [0, 0, 1]])).recommend(0, n=3)[0].tolist())
    [0, 1, 2]
    """

    def __init__(self, train: Matrix, random_state: int = 0) -> None:
        super().__init__(train, _stacklevel=4)
        self._seed = check_int("random_state", random_state, 0)

    def _rank(self, rows: np.ndarray, n: int, mask: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
        n_items = len(self.item_ids)
        # As many as may be needed: n, and what is excluded.
        lengths = np.minimum(n + np.diff(mask.indptr), n_items).tolist()
        orders = (
            np.random.default_rng([self._seed, row]).choice(n_items, length, replace=False)
            for row, length in zip(rows.tolist(), lengths, strict=True)
        )
        items = first_of_order(orders, n, mask)
        scores = np.broadcast_to(-np.arange(1, n + 1, dtype=np.float32), items.shape)
        return items, np.where(items < 0, np.float32(-np.inf), scores)


class ItemKNN(Baseline):
    """Recommends items that are liked by the same users as the user's likes.

    The score of an item is the sum of its cosine similarities to those of the user's likes that are
    among its nearest neighbours (Deshpande and Karypis, ACM TOIS 2004). The likes are binary. An
    item that is no neighbour of any like is not recommended, so that a user without likes gets
    nothing.

    Parameters
    ----------
    train : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The likes; their weights do not matter.
    n_neighbors : int
        Neighbours of each item, at least 1.

    Raises
    ------
    TypeError, ValueError, DataError
        If ``train`` is no sparse matrix, or has values that are not finite and positive, or
        ``n_neighbors`` is out of range.

    Notes
    -----
    Similarities of items are computed for blocks of items; ``n_neighbors`` of each item are kept.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast.baselines import ItemKNN
    >>> train = sp.csr_array([[1, 1, 0], [1, 1, 0], [1, 0, 0]])
    >>> rows, scores = ItemKNN(train).recommend(2, n=2, exclude=train)
    >>> rows.tolist(), scores.round(4).tolist()
    ([1, -1], [0.8165000081062317, -inf])
    """

    def __init__(self, train: Matrix, n_neighbors: int = 100) -> None:
        super().__init__(train, _stacklevel=4)
        self._binary = self._likes.copy()
        self._binary.data = np.ones_like(self._binary.data)
        neighbors = _neighbors(self._binary, check_int("n_neighbors", n_neighbors, 1))
        self._shares = sp.csr_array(neighbors.T)  # what a like adds to the score of each item

    def _rank(self, rows: np.ndarray, n: int, mask: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
        items = np.full((len(rows), n), -1, dtype=np.int64)
        best = np.full((len(rows), n), -np.inf, dtype=np.float32)
        step = max(1, BLOCK_SCORES // len(self.item_ids))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            scores = (self._binary[rows[part]] @ self._shares).toarray()
            masked = mask[part]
            scores[np.repeat(np.arange(len(scores)), np.diff(masked.indptr)), masked.indices] = 0
            for row, values in enumerate(scores, start):
                found = _largest(values, n)
                items[row, : len(found)] = found
                best[row, : len(found)] = values[found]
        return items, best


def _neighbors(binary: sp.csr_array, n_neighbors: int) -> sp.csr_array:
    """Return the cosines of each item with its nearest neighbours: (n_items, n_items), float32."""
    by_item = sp.csr_array(binary.T)
    norms = np.sqrt(np.maximum(np.diff(by_item.indptr), 1))
    by_item.data = (by_item.data / np.repeat(norms, np.diff(by_item.indptr))).astype(np.float32)
    by_user = sp.csr_array(by_item.T)
    n_items = by_item.shape[0]
    columns, cosines, counts = [], [], []
    step = max(1, BLOCK_SCORES // n_items)
    for start in range(0, n_items, step):
        block = (by_item[start : start + step] @ by_user).toarray()
        block[np.arange(len(block)), start + np.arange(len(block))] = 0  # not the item itself
        for values in block:
            found = np.sort(_largest(values, n_neighbors))
            columns.append(found)
            cosines.append(values[found])
            counts.append(len(found))
    return sp.csr_array(
        (np.concatenate(cosines), np.concatenate(columns), np.append(0, np.cumsum(counts))),
        shape=(n_items, n_items),
    )


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Return the places of the n largest positive values, largest first, equal ones in order."""
    positive = np.flatnonzero(values > 0)
    if len(positive) > n:
        some = values[positive]
        positive = positive[some >= np.partition(some, -n)[-n]]
    return positive[np.argsort(-values[positive], kind="stable")[:n]]
