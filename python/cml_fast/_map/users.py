"""The users that a map shows: a sample, each amid the items nearest to it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._search.exact import nearest

# A user stands at the mean place of so many items.
_AMID = 5


def sample(n_shown: int, likes: np.ndarray | None, n_users: int, seed: int) -> np.ndarray:
    """Return rows of users, ascending, (k,), int64, of those of whom something was learned.

    Parameters
    ----------
    n_shown : int
        How many at most.
    likes : numpy.ndarray, (n_users,), int, or None
        Of each user in training; None if that is not known.
    """
    known = np.arange(n_users) if likes is None else np.flatnonzero(likes)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(known, min(n_shown, len(known)), replace=False))


def nearest_items(
    users: np.ndarray, items: np.ndarray, k: int, n_threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and distances of the ``k`` items nearest to each user, nearest first."""
    nothing = sp.csr_array((len(users), len(items)), dtype=np.float32)
    return nearest(users, items, min(k, len(items)), nothing, n_threads)


def place(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the places of users, (k, 2), from those of their nearest items.

    A median in each direction, because the nearest items may lie in two parts of the map, and in
    the middle between them nothing is near to the user.
    """
    if not len(rows):
        return np.zeros((0, 2))
    return np.asarray(np.median(points[rows[:, :_AMID]], axis=1))
