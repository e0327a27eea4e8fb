"""Holding out the last interactions of each user, or one of them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..._validation.scalars import check_choice, check_int, check_random_state
from .parts import (
    Source,
    Split,
    check_source,
    check_test_size,
    make_split,
    n_of,
    rows_of,
    timestamps_of,
)


def split_last(
    interactions: Source,
    test_size: float = 1,
    *,
    min_interactions: int = 2,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Split[Source]:
    """Hold out the last interactions of each user.

    Every user keeps at least one interaction in the training part. Note that it has interactions
    of one user that are later than test interactions of another: `split_by_time` has not.

    Parameters
    ----------
    interactions : Interactions, (n_users, n_items)
        What to split, with timestamps. It is not changed.
    test_size : int or float, default 1
        How many of each user's interactions are for the test; a float in (0, 1) is a share of
        them, rounded to the nearest number.
    min_interactions : int, default 2
        Users with fewer interactions, or with no more than ``test_size``, are in the training
        part only, and counted.
    random_state : int, None, numpy Generator or RandomState, default 0
        Chooses between a user's interactions of the same moment. The users for whom that matters
        are counted.

    Returns
    -------
    Split
        The tuple (train, test) with the shape and ids of ``interactions``. Split ``train`` again
        for a validation part.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind.
    DataError
        If there are no timestamps.

    Examples
    --------
    >>> from cml_fast.data import Interactions, split_last
    >>> likes = Interactions.from_arrays(
    ...     ["ann", "ann", "ann", "bob"], [7, 8, 9, 7], timestamps=[10, 20, 30, 30]
    ... )
    >>> parts = split_last(likes)
    >>> parts[1].matrix.toarray().tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    >>> parts.report.counts["users_with_too_few"]
    1
    """
    test_size = check_test_size(test_size)
    min_interactions = check_int("min_interactions", min_interactions, 0)
    rng = check_random_state(random_state)
    matrix = check_source(interactions)
    times = timestamps_of(interactions)
    return _hold_out(interactions, matrix, times, test_size, min_interactions, rng)


def leave_one_out(
    interactions: Source,
    which: str = "random",
    *,
    min_interactions: int = 2,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Split[Source]:
    """Hold out one interaction of each user.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array, (n_users, n_items)
        What to split. It is not changed.
    which : str, default "random"
        Which one: ``"random"``, or ``"last"``, which needs timestamps.
    min_interactions : int, default 2
        Users with fewer interactions, or with a single one, are in the training part only, and
        counted.
    random_state : int, None, numpy Generator or RandomState, default 0
        Chooses the interaction, with ``"last"`` between those of the same moment.

    Returns
    -------
    Split
        The tuple (train, test) with the shape and ids of ``interactions``: an ``Interactions`` for
        an ``Interactions``, else a float32 CSR matrix or array.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong kind.
    DataError
        If the matrix is empty or has NaN, infinite or negative values, or with ``"last"`` if there
        are no timestamps.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import leave_one_out
    >>> train, test = leave_one_out(sp.csr_array(np.ones((4, 10))))
    >>> np.diff(train.indptr).tolist(), np.diff(test.indptr).tolist()
    ([9, 9, 9, 9], [1, 1, 1, 1])
    """
    check_choice("which", which, ("random", "last"))
    min_interactions = check_int("min_interactions", min_interactions, 0)
    rng = check_random_state(random_state)
    matrix = check_source(interactions)
    times = timestamps_of(interactions) if which == "last" else None
    return _hold_out(interactions, matrix, times, 1, min_interactions, rng)


def _hold_out(
    interactions: Source,
    matrix: sp.csr_array,
    times: np.ndarray | None,
    test_size: float,
    min_interactions: int,
    rng: np.random.Generator,
) -> Split[Source]:
    """Hold out the last of each user's interactions, where there are no times the last drawn."""
    sizes = np.diff(matrix.indptr).astype(np.int64)
    n_test = n_of(test_size, sizes)
    n_test[(sizes < min_interactions) | (n_test >= sizes)] = 0
    rows = rows_of(matrix)
    keys = (rng.random(rows.size), rows) if times is None else (rng.random(rows.size), times, rows)
    order = np.lexsort(keys)
    # Sorted by users, so rows and the positions of their ends stay as they are.
    is_test_sorted = np.arange(rows.size) >= (matrix.indptr[1:] - n_test)[rows]
    is_test = np.zeros(rows.size, dtype=bool)
    is_test[order] = is_test_sorted
    counts = {"users_with_too_few": int(np.count_nonzero((sizes > 0) & (n_test == 0)))}
    if times is not None:
        first = (matrix.indptr[1:] - n_test)[n_test > 0]
        sorted_times = times[order]
        tied = sorted_times[first] == sorted_times[first - 1]
        counts["users_with_ties"] = int(np.count_nonzero(tied))
    return make_split(interactions, matrix, is_test, **counts)
