"""Holding out whole users or items, to try what a model does with new ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..._validation.scalars import check_random_state
from .parts import Source, Split, check_source, check_test_size, make_split, n_of, rows_of


def split_users(
    interactions: Source,
    test_size: float = 0.2,
    *,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Split[Source]:
    """Hold out all interactions of some users, who are new to a model then.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array, (n_users, n_items)
        What to split. It is not changed.
    test_size : int or float, default 0.2
        How many users are held out; a float in (0, 1) is a share of those with interactions.
    random_state : int, None, numpy Generator or RandomState, default 0
        Chooses the users.

    Returns
    -------
    Split
        The tuple (train, test) with the shape and ids of ``interactions``: an ``Interactions`` for
        an ``Interactions``, else a float32 CSR matrix or array. To evaluate, split ``test`` again
        into what a new user shows and what is to be found.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind, or if no user would be left for
        one of the parts.
    DataError
        If the matrix is empty or has NaN, infinite or negative values.

    Examples
    --------
    >>> from cml_fast.data import split_users, synthetic
    >>> parts = split_users(synthetic(200, 100, 2000).interactions, 0.1)
    >>> parts.report.users
    (180, 20)
    >>> parts.report.counts["users_without_training"]
    20
    """
    test_size = check_test_size(test_size)
    rng = check_random_state(random_state)
    matrix = check_source(interactions)
    return _hold_out(interactions, matrix, "user", rows_of(matrix), test_size, rng)


def split_items(
    interactions: Source,
    test_size: float = 0.2,
    *,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Split[Source]:
    """Hold out all interactions with some items, which are new to a model then.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array, (n_users, n_items)
        What to split. It is not changed.
    test_size : int or float, default 0.2
        How many items are held out; a float in (0, 1) is a share of those with interactions.
    random_state : int, None, numpy Generator or RandomState, default 0
        Chooses the items.

    Returns
    -------
    Split
        The tuple (train, test) with the shape and ids of ``interactions``: an ``Interactions`` for
        an ``Interactions``, else a float32 CSR matrix or array.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind, or if no item would be left for
        one of the parts.
    DataError
        If the matrix is empty or has NaN, infinite or negative values.

    Examples
    --------
    >>> from cml_fast.data import split_items, synthetic
    >>> parts = split_items(synthetic(200, 100, 2000).interactions, 10)
    >>> parts.report.items
    (90, 10)
    >>> parts.report.counts["items_without_training"]
    10
    """
    test_size = check_test_size(test_size)
    rng = check_random_state(random_state)
    matrix = check_source(interactions)
    return _hold_out(interactions, matrix, "item", matrix.indices, test_size, rng)


def _hold_out(
    interactions: Source,
    matrix: sp.csr_array,
    what: str,
    index: np.ndarray,
    test_size: float,
    rng: np.random.Generator,
) -> Split[Source]:
    """Hold out some of the users or items whose numbers ``index`` has for each interaction."""
    sizes = np.bincount(index)
    known = np.flatnonzero(sizes)
    n_test = int(n_of(test_size, known.size))
    if not 0 < n_test < known.size:
        raise ValueError(
            f"test_size={test_size!r} is {n_test} of {known.size} {what}s with interactions; both "
            f"parts need one at least"
        )
    is_test = np.zeros(sizes.size, dtype=bool)
    is_test[rng.permutation(known)[:n_test]] = True
    return make_split(interactions, matrix, is_test[index])
