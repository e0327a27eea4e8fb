"""Folds for cross-validation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from ..._validation.scalars import check_choice, check_int, check_random_state
from .parts import Source, Split, check_source, make_split, rows_of


def k_fold(
    interactions: Source,
    n_splits: int = 5,
    *,
    by: str = "interactions",
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Iterator[Split[Source]]:
    """Make folds for cross-validation: each interaction is for the test in one of them.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array, (n_users, n_items)
        What to split. It is not changed.
    n_splits : int, default 5
        The number of folds, at least 2.
    by : str, default "interactions"
        What is dealt out to the folds at random: the ``"interactions"`` of each user, of whom
        every fold gets the same number, or one more or less; ``"users"`` or ``"items"``, with all
        of their interactions. With ``"interactions"``, users with a single one are always in the
        training part, and counted.
    random_state : int, None, numpy Generator or RandomState, default 0
        An int gives the same folds every time, None different ones.

    Returns
    -------
    iterator of Split
        The tuple (train, test) of each fold, made when it is asked for, with the shape and ids of
        ``interactions``: an ``Interactions`` for an ``Interactions``, else a float32 CSR matrix
        or array. ``part_of`` of a fold is 1 for the entries of its test part, 0 for the others.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind, or if there are more folds than
        things to deal out.
    DataError
        If the matrix is empty or has NaN, infinite or negative values.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import k_fold
    >>> likes = sp.csr_array(np.ones((4, 10)))
    >>> for train, test in k_fold(likes, 3):
    ...     print(train.nnz, test.nnz, np.diff(test.indptr).tolist())
    26 14 [4, 3, 3, 4]
    27 13 [3, 4, 3, 3]
    27 13 [3, 3, 4, 3]

    The numbers of the entries that are for training and for the test:

    >>> folds = [fold.part_of for fold in k_fold(likes, 3)]
    >>> indices = [(np.flatnonzero(part == 0), np.flatnonzero(part == 1)) for part in folds]
    >>> [test.size for train, test in indices]
    [14, 13, 13]
    """
    n_splits = check_int("n_splits", n_splits, 2)
    check_choice("by", by, ("interactions", "users", "items"))
    rng = check_random_state(random_state)
    matrix = check_source(interactions)
    counts = {}
    if by == "interactions":
        fold = _deal_interactions(matrix, n_splits, rng)
        counts["users_with_too_few"] = int(np.count_nonzero(np.diff(matrix.indptr) == 1))
    else:
        fold = _deal(by, rows_of(matrix) if by == "users" else matrix.indices, n_splits, rng)
    return (
        make_split(interactions, matrix, fold == number, **counts) for number in range(n_splits)
    )


def _deal_interactions(matrix: sp.csr_array, n_splits: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each entry, -1 for a user's only one."""
    rows = rows_of(matrix)
    order = np.lexsort((rng.random(rows.size), rows))  # each user's interactions, shuffled
    order = order[np.diff(matrix.indptr)[rows] > 1]  # sorted by users, so rows stay as they are
    _check_enough("interactions of users with two at least", order.size, n_splits)
    fold = np.full(rows.size, -1, dtype=np.int64)
    fold[order] = np.arange(order.size) % n_splits
    return fold


def _deal(what: str, index: np.ndarray, n_splits: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each entry, by that of its user or item in ``index``."""
    known = np.unique(index)
    _check_enough(f"{what} with interactions", known.size, n_splits)
    fold = np.zeros(known[-1] + 1, dtype=np.int64)
    fold[rng.permutation(known)] = np.arange(known.size) % n_splits
    folds: np.ndarray = fold[index]
    return folds


def _check_enough(what: str, n: int, n_splits: int) -> None:
    if n < n_splits:
        raise ValueError(f"n_splits={n_splits} is more than the {n} {what}")
