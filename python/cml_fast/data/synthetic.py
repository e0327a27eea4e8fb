"""Made-up interactions with a known truth: who has which taste, and which item serves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import MAX_OBJECTS
from .._validation.scalars import check_int, check_random_state, check_real
from .interactions import Interactions

GENRES = (
    *("ambient", "blues", "classical", "country", "disco", "electro", "folk", "funk"),
    *("gospel", "hiphop", "jazz", "latin", "metal", "punk", "reggae", "soul"),
)
# A user's shares of the tastes are drawn from Dirichlet(1 / n_tastes): one large share or a few.
# A user's activity is exp(normal), and the item of rank r has Zipf-Mandelbrot odds:
# 1 / (r + offset) ** exponent.
_ZIPF_OFFSET, _ZIPF_EXPONENT = 5.0, 0.8
# Dense data with mixed tastes take some 100 rounds; those that need more hardly ever end.
_MAX_ROUNDS = 300


@dataclass(frozen=True)
class Synthetic:
    """Interactions and the tastes from which they were drawn.

    Attributes
    ----------
    interactions : Interactions, (n_users, n_items)
        All weights are 1. Ids are like ``user-00012`` and ``jazz-0017``; within a taste the
        items are in order of decreasing popularity.
    user_tastes : numpy.ndarray, (n_users,), int64
        The main taste of every user.
    item_tastes : numpy.ndarray, (n_items,), int64
        The taste of every item.
    user_shares : numpy.ndarray, (n_users, n_tastes), float32
        How every user's interest is spread over the tastes; rows have sum 1.
    taste_names : tuple of str
        The name of each taste.
    """

    interactions: Interactions
    user_tastes: np.ndarray
    item_tastes: np.ndarray
    user_shares: np.ndarray
    taste_names: tuple[str, ...]


def synthetic(
    n_users: int,
    n_items: int,
    n_interactions: int,
    *,
    n_tastes: int = 8,
    noise: float = 0.1,
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
) -> Synthetic:
    """Draw interactions of users with planted tastes.

    Every item serves one taste, and every user has a mixture of a few. A like is drawn by
    choosing a taste from the user's mixture and an item of that taste by popularity, which has
    a long tail. Half of the likes are spread evenly over the users and half by an activity of
    lognormal distribution, so that some users are far more active and none is without likes.

    Parameters
    ----------
    n_users, n_items : int
        Numbers of users and items.
    n_interactions : int
        Number of different (user, item) pairs: from 2 * n_users to n_users * n_items / 4.
    n_tastes : int, default 8
        Number of tastes, at most n_items.
    noise : float, default 0.1
        Share, in [0, 1], of likes whose taste is any, whatever the user's mixture.
    random_state : int, None, numpy Generator or RandomState, default 0
        An int gives the same data every time, None different ones.

    Returns
    -------
    Synthetic
        The interactions, exactly ``n_interactions``, and the tastes behind them.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range or of the wrong type, or if so many interactions
        cannot be had with so many tastes and so little noise.
    """
    n_users = check_int("n_users", n_users, 1, MAX_OBJECTS)
    n_items = check_int("n_items", n_items, 8, MAX_OBJECTS)
    n_tastes = check_int("n_tastes", n_tastes, 1, n_items)
    # Denser, the drawing of pairs that are new would take ever longer.
    n_interactions = check_int(
        "n_interactions", n_interactions, 2 * n_users, n_users * n_items // 4
    )
    noise = check_real("noise", noise, 0.0)
    if noise > 1:
        raise ValueError(f"noise must be between 0 and 1, got {noise!r}")
    rng = check_random_state(random_state)

    item_tastes = np.sort(np.arange(n_items, dtype=np.int64) % n_tastes)
    first_item = np.searchsorted(item_tastes, np.arange(n_tastes))
    ranks = np.arange(n_items) - first_item[item_tastes]
    popularity = np.zeros((n_tastes, int(ranks.max()) + 1))
    popularity[item_tastes, ranks] = (ranks + _ZIPF_OFFSET) ** -_ZIPF_EXPONENT
    shares = rng.dirichlet(np.full(n_tastes, 1 / n_tastes), size=n_users)
    activity = np.exp(rng.standard_normal((1, n_users)))

    user_cdf = _flat_cdfs(activity)
    taste_cdfs = _flat_cdfs((1 - noise) * shares + noise / n_tastes)
    item_cdfs = _flat_cdfs(popularity)
    pairs = np.zeros(0, dtype=np.int64)
    users = np.arange(n_interactions // 2, dtype=np.int64) % n_users
    for _ in range(_MAX_ROUNDS):
        tastes = _sample(taste_cdfs, users, n_tastes, rng)
        items = first_item[tastes] + _sample(item_cdfs, tastes, popularity.shape[1], rng)
        # Sorted by hand: np.unique goes by a hash table here, ten times slower.
        pairs = np.sort(np.append(pairs, users * n_items + items))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
        missing = np.zeros(n_interactions - pairs.size, dtype=np.int64)
        if not missing.size:
            break
        users = _sample(user_cdf, missing, n_users, rng)
    else:
        raise ValueError(
            f"n_interactions={n_interactions} are more than these users find to their tastes; "
            "ask for fewer, for fewer tastes or for more noise"
        )

    likes = np.ones(n_interactions, dtype=np.float32)
    where = np.divmod(pairs, n_items)
    matrix = sp.csr_array((likes, where), shape=(n_users, n_items))
    names = tuple(_taste_name(taste) for taste in range(n_tastes))
    user_ids = np.array([f"user-{user:05d}" for user in range(n_users)])
    item_ids = np.array(
        [f"{names[t]}-{r:04d}" for t, r in zip(item_tastes.tolist(), ranks.tolist(), strict=True)]
    )
    return Synthetic(
        Interactions(matrix, user_ids, item_ids),
        shares.argmax(axis=1).astype(np.int64, copy=False),
        item_tastes,
        shares.astype(np.float32),
        names,
    )


def _taste_name(taste: int) -> str:
    lap, place = divmod(taste, len(GENRES))
    return GENRES[place] + (str(lap + 1) if lap else "")


def _flat_cdfs(weights: np.ndarray) -> np.ndarray:
    """Return the CDF of each row of weights, (groups, size), that of row g from g to g + 1."""
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    cumulated += np.arange(len(weights))[:, np.newaxis]
    return cumulated.ravel()


def _sample(
    cdfs: np.ndarray, groups: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw one column for each of ``groups``, which are rows of the weights behind ``cdfs``."""
    index = np.searchsorted(cdfs, groups + rng.random(groups.size), side="right")
    # The sum may round up to the next row's beginning.
    column: np.ndarray = np.clip(index - groups * size, 0, size - 1)
    return column
