"""First vectors that know who likes what.

Random vectors of the items are averaged along the likes, back and forth: each user becomes the mean
of its items, and each item the mean of its users. What users and items have in common survives the
averaging, and the rest fades. That is subspace iteration for the singular vectors of the normalised
likes, begun at random and stopped early (cf. Chen et al., "Fast and accurate network embeddings via
very sparse random projection", 2019). See docs/studies/fit-time.md.

Items that have features in common, such as tags, are averaged along these as well: a feature counts
like users who like all items that have it, the fewer the more. See docs/studies/features.md.

The sums repeat to the bit everywhere: scipy adds in the order of the stored likes, and factors of 1
leave nothing for a fused multiply-add to round differently.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._compute.tables import random_vectors
from .likes import Likes, blocks, item_counts

ROUNDS = 2
# A feature that one item alone has counts like so many users.
USERS_OF_FEATURE = 2.0
# A feature that a larger share of the items has does not count.
MAX_SHARE = 0.5
# Numbers that are drawn at a time where they are not kept.
DRAWN = 1 << 20


def first_vectors(
    likes: Likes,
    n_dims: int,
    max_norm: float,
    generator: np.random.Generator,
    item_features: sp.csr_array | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of users and items with which a training begins, at the edge of the ball.

    The weights of the likes do not count, nor do those of the features. Users and items without
    likes get random vectors.

    Parameters
    ----------
    likes : scipy.sparse.csr_array or MappedLikes, (n_users, n_items)
    n_dims : int
    max_norm : float
        Radius of the ball.
    generator : numpy.random.Generator
    item_features : (n_items, m), sparse or dense, optional

    Returns
    -------
    tuple of numpy.ndarray, (n_users, n_dims) and (n_items, n_dims), float32
    """
    users = random_vectors((likes.shape[0], n_dims), max_norm, generator)
    items, smooth = first_items(likes, n_dims, max_norm, generator, item_features)
    place_users(users, likes, smooth, max_norm)
    return users, items


def skip_users(n_users: int, n_dims: int, generator: np.random.Generator) -> None:
    """Draw the random vectors of so many users without keeping them."""
    left = n_users * n_dims
    while left > 0:
        left -= len(generator.standard_normal(min(left, DRAWN), dtype=np.float32))


def first_items(
    likes: Likes,
    n_dims: int,
    max_norm: float,
    generator: np.random.Generator,
    item_features: sp.csr_array | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The items of `first_vectors`, whose users have been drawn from the generator before.

    Returns
    -------
    tuple of numpy.ndarray, (n_items, n_dims), float32
        Their vectors, and what `place_users` needs.
    """
    items = random_vectors((likes.shape[1], n_dims), max_norm, generator)
    counts = item_counts(likes).astype(np.float32)[:, None]
    n_items_of = np.maximum(np.diff(likes.indptr), 1).astype(np.float32)[:, None]
    n_users_of = np.maximum(counts, 1)
    # A rare item says more of its users' taste, so it starts larger. Without the mean over all
    # likes, which stays the same in every round, only the differences are left.
    smooth = items / np.sqrt(n_users_of)
    smooth -= _sum_of_rows(counts * smooth) / np.float32(likes.nnz)
    if item_features is None:
        for _ in range(ROUNDS):
            smooth = _from_users(likes, smooth, n_items_of) / n_users_of
    else:
        shared = _SharedFeatures(item_features, counts[:, 0] > 0)
        total = np.maximum(counts + shared.weights_of_items, np.finfo(np.float32).tiny)
        for _ in range(ROUNDS):
            from_users = _from_users(likes, smooth, n_items_of)
            smooth = (from_users + shared.sums(smooth)) / total
    _place(items, smooth, max_norm)
    return items, smooth


def place_users(users: np.ndarray, likes: Likes, smooth: np.ndarray, max_norm: float) -> None:
    """Move random users in the directions of their items, in place; all users or any part of them.

    Parameters
    ----------
    users : numpy.ndarray, (n, n_dims), float32
    likes : scipy.sparse.csr_array or MappedLikes, (n, n_items)
    smooth : numpy.ndarray, (n_items, n_dims), float32
        Of `first_items`.
    max_norm : float
    """
    n_items_of = np.maximum(np.diff(likes.indptr), 1).astype(np.float32)[:, None]
    for rows, block in blocks(likes):
        _place(users[rows], _unweighted(block) @ smooth / n_items_of[rows], max_norm)


def _unweighted(likes: sp.csr_array) -> sp.csr_array:
    ones = np.ones(likes.nnz, dtype=np.float32)
    return sp.csr_array((ones, likes.indices, likes.indptr), shape=likes.shape)


def _from_users(likes: Likes, items: np.ndarray, n_items_of: np.ndarray) -> np.ndarray:
    """For each item the sum of its users, each at the mean of the user's items: (n_items, r).

    The users are added in their order, so that the sums do not depend on the blocks.
    """
    sums: np.ndarray | None = None
    for rows, block in blocks(likes):
        by_user = _unweighted(block)
        means = by_user @ items / n_items_of[rows]
        if sums is None:
            sums = by_user.T @ means
        else:  # the sums so far come first, as if they were one more user for each item
            so_far = sp.eye_array(len(sums), dtype=np.float32, format="csc")
            sums = sp.hstack([so_far, by_user.T], format="csc") @ np.concatenate([sums, means])
    assert sums is not None
    return sums


class _SharedFeatures:
    """The features of items that have likes, as users who like all items that have them.

    Attributes
    ----------
    weights_of_items : numpy.ndarray, (n_items, 1), float32
        How many users the features of each item count for.
    """

    def __init__(self, features: sp.csr_array | np.ndarray, liked: np.ndarray) -> None:
        has = sp.csr_array(
            sp.diags_array(liked.astype(np.float32)) @ sp.csr_array(features).astype(bool)
        )
        has.eliminate_zeros()
        n_items, n_items_of = int(np.count_nonzero(liked)), has.sum(axis=0)
        chosen = np.flatnonzero((n_items_of > 0) & (n_items_of <= MAX_SHARE * n_items))
        self._has, self._n_items_of = sp.csr_array(has[:, chosen]), n_items_of[chosen, None]
        self._by_feature = self._has.T
        # The logarithm of the rarity, as in tf-idf, is 1 for a feature of one item.
        rarity = np.log(n_items / self._n_items_of) / np.log(max(n_items, 2))
        self._weights = (USERS_OF_FEATURE * rarity).astype(np.float32)
        self.weights_of_items: np.ndarray = self._has @ self._weights

    def sums(self, items: np.ndarray) -> np.ndarray:
        """Of the features of each item, at the mean of their items (n_items, r), by weight."""
        means = self._by_feature @ items / self._n_items_of
        sums: np.ndarray = self._has @ (self._weights * means)
        return sums


def _sum_of_rows(rows: np.ndarray) -> np.ndarray:
    """(1, n_dims), added up one row after the other, which NumPy does not promise."""
    total: np.ndarray = sp.csr_array(np.ones((1, len(rows)), dtype=np.float32)) @ rows
    return total


def _place(rows: np.ndarray, directions: np.ndarray, max_norm: float) -> None:
    """Move ``rows`` to the edge of the ball in these directions, where there is one."""
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    known = norms[:, 0] > 0
    rows[known] = directions[known] * (np.float32(max_norm) / norms[known])
