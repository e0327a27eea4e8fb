"""Likes as a training reads them: a matrix in memory, or arrays in files that are larger than that.

What goes through all likes does so in blocks of users, so that it needs memory for a block only.
The blocks of likes in memory are parts of the same arrays, not copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import BLOCK, is_strictly_sorted
from ..data import Dataset
from ..errors import DataError

# Pairs of a block; one user may have more.
PAIRS = BLOCK


@dataclass(frozen=True)
class MappedLikes:
    """Likes in files, with the attributes of a CSR matrix that training reads.

    Attributes
    ----------
    shape : tuple of int
        The numbers of users and items.
    indptr : numpy.ndarray, (n_users + 1,), int64
    indices : numpy.ndarray, (nnz,), int32
    data : numpy.ndarray, (nnz,), float32
        The weights; without any, a single 1 that is read everywhere.
    token : str
        Says which likes these are: other ones have another token.
    """

    shape: tuple[int, int]
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    token: str

    @property
    def nnz(self) -> int:
        return len(self.indices)

    @property
    def is_weighted(self) -> bool:
        return self.data.strides != (0,)

    def rows(self, first: int, last: int) -> sp.csr_array:
        """The likes of the users [first, last) as a matrix, of which only the indptr is a copy."""
        begin, end = int(self.indptr[first]), int(self.indptr[last])
        indptr = self.indptr[first : last + 1] - begin
        if end - begin <= np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)  # scipy copies indices of another type
        parts = self.data[begin:end], self.indices[begin:end], indptr
        return sp.csr_array(parts, shape=(last - first, self.shape[1]))


Likes: TypeAlias = sp.csr_array | MappedLikes


def equal_weights(n: int) -> np.ndarray:
    """As many ones, in the memory of one."""
    return np.broadcast_to(np.ones(1, dtype=np.float32), n)


def blocks(likes: Likes) -> Iterator[tuple[slice, sp.csr_array]]:
    """Yield some successive users and their likes, until there are no more users.

    All but the last have about as many pairs as there are items, or more: what is done for each
    item in each block takes no longer than what is done for each pair.
    """
    indptr, (n_users, n_items) = likes.indptr, likes.shape
    n_pairs, first = max(PAIRS, n_items), 0
    while first < n_users:
        last = int(np.searchsorted(indptr, int(indptr[first]) + n_pairs, side="right")) - 1
        last = min(max(last, first + 1), n_users)
        yield slice(first, last), _rows(likes, first, last)
        first = last


def _rows(likes: Likes, first: int, last: int) -> sp.csr_array:
    if isinstance(likes, MappedLikes):
        return likes.rows(first, last)
    if (first, last) == (0, likes.shape[0]):
        return likes
    begin, end = int(likes.indptr[first]), int(likes.indptr[last])
    indptr = likes.indptr[first : last + 1] - likes.indptr[first]
    parts = likes.data[begin:end], likes.indices[begin:end], indptr
    return sp.csr_array(parts, shape=(last - first, likes.shape[1]))


def item_counts(likes: Likes) -> np.ndarray:
    """How many likes each item has: (n_items,), int64."""
    counts = np.zeros(likes.shape[1], dtype=np.int64)
    for begin in range(0, likes.nnz, PAIRS):
        counts += np.bincount(likes.indices[begin : begin + PAIRS], minlength=len(counts))
    return counts


def of_users(likes: Likes, users: np.ndarray) -> sp.csr_array:
    """The likes of some users, ascending row numbers, as a matrix with a row for each of them."""
    if not isinstance(likes, MappedLikes):
        return sp.csr_array(likes[users])
    begins, ends = likes.indptr[users], likes.indptr[users + 1]
    indptr = np.zeros(len(users) + 1, dtype=np.int64)
    np.cumsum(ends - begins, out=indptr[1:])
    indices = np.empty(indptr[-1], dtype=np.int32)
    data = np.empty(indptr[-1], dtype=np.float32)
    for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        row = slice(indptr[i], indptr[i + 1])
        indices[row], data[row] = likes.indices[begin:end], likes.data[begin:end]
    return sp.csr_array((data, indices, indptr), shape=(len(users), likes.shape[1]))


def in_memory(likes: Likes, users: np.ndarray) -> sp.csr_array:
    """The likes of some users at least, as a matrix with the rows of all users."""
    if not isinstance(likes, MappedLikes):
        return likes
    rows = of_users(likes, users)
    counts = np.zeros(likes.shape[0], dtype=np.int64)
    counts[users] = np.diff(rows.indptr)
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return sp.csr_array((rows.data, rows.indices, indptr), shape=likes.shape)


def some_users(likes: Likes, n_pairs: int) -> np.ndarray:
    """About so many pairs' worth of users who have likes, always the same ones, ascending."""
    users = np.flatnonzero(np.diff(likes.indptr))
    n = max(1, int(n_pairs / (likes.nnz / len(users))))
    if n >= len(users):
        return users
    return np.sort(np.random.default_rng(0).choice(users, n, replace=False))


def map_likes(dataset: Dataset, first: int = 0, last: int | None = None) -> MappedLikes:
    """The likes of a data set, each checked once: compiled code reads them as they are.

    With ``first`` and ``last``: those of the users [first, last), of whom at least one has some,
    with a row for each of these users.

    Raises
    ------
    DataError
        If an item number or a weight is impossible, or the items of a user are not in order.
    """
    last = dataset.n_users if last is None else last
    indptr = dataset.indptr.view(np.ndarray)[first : last + 1]
    pairs = slice(int(indptr[0]), int(indptr[-1]))
    if pairs.start > 0:
        indptr = indptr - pairs.start
    indices = dataset.indices.view(np.ndarray)[pairs]
    if dataset.weights is None:
        weights = equal_weights(len(indices))
    else:
        weights = dataset.weights.view(np.ndarray)[pairs]
    for begin in range(0, len(indices), PAIRS):
        items = indices[begin : begin + PAIRS]
        if items.min() < 0 or items.max() >= dataset.n_items:
            raise _damaged(dataset, f"has items outside [0, {dataset.n_items})")
        some = weights[begin : begin + PAIRS]
        if not (some.min() > 0 and some.max() < np.inf):  # written so that NaN fails as well
            raise _damaged(dataset, "has weights that are not finite and positive")
    if not is_strictly_sorted(indices, indptr):
        raise _damaged(dataset, "has users whose items are not ascending and distinct")
    token = f"dataset {dataset.token}"
    if last - first < dataset.n_users:
        token += f", users {first} to {last}"
    return MappedLikes((last - first, dataset.n_items), indptr, indices, weights, token)


def _damaged(dataset: Dataset, fault: str) -> DataError:
    return DataError(
        f"train: {dataset.path} {fault}, so it is damaged: Dataset.verify names the file; prepare "
        "the data set again"
    )
