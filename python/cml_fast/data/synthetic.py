"""Synthetic interactions of users with known tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import MAX_OBJECTS
from .._validation.scalars import check_int, check_random_state, check_share
from .interactions import Interactions

GENRES = (
    *("ambient", "blues", "classical", "country", "disco", "electro", "folk", "funk"),
    *("gospel", "hiphop", "jazz", "latin", "metal", "punk", "reggae", "soul"),
)
# A user's shares of the tastes are drawn from Dirichlet(1 / n_tastes): one large share or a few.
# A user's activity is exp(normal), and the item of rank r has Zipf-Mandelbrot odds:
# 1 / (r + offset) ** exponent.
_ZIPF_OFFSET, _ZIPF_EXPONENT = 5.0, 0.8
_MIN_ITEMS = 8
# Interactions for each user, so that half of them, spread evenly, give everyone at least one.
_MIN_LIKES = 2
# At most one pair in so many: in denser data, new pairs would become rare.
_MAX_DENSITY = 4
# Dense data with mixed tastes need about 100 rounds; data that need more hardly ever finish.
_MAX_ROUNDS = 300


@dataclass(frozen=True, repr=False)
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

    Examples
    --------
    >>> from cml_fast.data import synthetic
    >>> made = synthetic(200, 100, 2000, n_tastes=4)
    >>> made
    Synthetic(Interactions(200 users x 100 items, 2,000 interactions), 4 tastes)
    >>> made.taste_names
    ('ambient', 'blues', 'classical', 'country')
    >>> made.item_tastes[[0, 25, 50, 75]].tolist()
    [0, 1, 2, 3]
    """

    interactions: Interactions
    user_tastes: np.ndarray
    item_tastes: np.ndarray
    user_shares: np.ndarray
    taste_names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Synthetic({self.interactions!r}, {len(self.taste_names)} tastes)"


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

    Every item belongs to one taste, and every user has a mixture of a few tastes. A like is drawn
    in two steps: a taste from the user's mixture, then an item of that taste by popularity, which
    has a long tail. Half of the likes are spread evenly over the users, the other half by an
    activity that is distributed lognormally: some users are far more active than others, and
    every user has at least one like.

    Parameters
    ----------
    n_users, n_items : int
        Numbers of users, at least 1, and of items, at least 8.
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

    Examples
    --------
    >>> from cml_fast.data import synthetic
    >>> made = synthetic(200, 100, 2000, n_tastes=4, random_state=7)
    >>> made.interactions
    Interactions(200 users x 100 items, 2,000 interactions)
    >>> made.interactions.item_ids[:2].tolist()
    ['ambient-0000', 'ambient-0001']
    """
    n_users = check_int("n_users", n_users, 1, MAX_OBJECTS)
    n_items = check_int("n_items", n_items, _MIN_ITEMS, MAX_OBJECTS)
    n_tastes = check_int("n_tastes", n_tastes, 1, n_items)
    n_interactions = check_int(
        "n_interactions", n_interactions, _MIN_LIKES * n_users, n_users * n_items // _MAX_DENSITY
    )
    noise = check_share("noise", noise)
    rng = check_random_state(random_state)

    item_tastes = np.sort(np.arange(n_items, dtype=np.int64) % n_tastes)
    first_item = np.searchsorted(item_tastes, np.arange(n_tastes))
    ranks = np.arange(n_items) - first_item[item_tastes]
    popularity = np.zeros((n_tastes, int(ranks.max()) + 1))
    popularity[item_tastes, ranks] = (ranks + _ZIPF_OFFSET) ** -_ZIPF_EXPONENT
    shares = rng.dirichlet(np.full(n_tastes, 1 / n_tastes), size=n_users)
    activity = np.exp(rng.standard_normal((1, n_users)))
    mixtures = (1 - noise) * shares + noise / n_tastes
    users, items = _draw_likes(n_interactions, activity, mixtures, popularity, first_item, rng)

    likes = np.ones(n_interactions, dtype=np.float32)
    matrix = sp.csr_array((likes, (users, items)), shape=(n_users, n_items))
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


def _draw_likes(
    n_likes: int,
    activity: np.ndarray,
    mixtures: np.ndarray,
    popularity: np.ndarray,
    first_item: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw so many different pairs, and return their users and items, (n_likes,) int64 each.

    Parameters
    ----------
    activity : numpy.ndarray, (1, n_users)
        The odds of each user.
    mixtures : numpy.ndarray, (n_users, n_tastes)
        The odds of each taste for each user.
    popularity : numpy.ndarray, (n_tastes, n_ranks)
        The odds of the items of each taste, 0 where there are no more.
    first_item : numpy.ndarray, (n_tastes,)
        The number of the first item of each taste.
    """
    n_users, n_tastes = mixtures.shape
    n_ranks = popularity.shape[1]
    n_items = np.count_nonzero(popularity)
    user_cdf, taste_cdfs, item_cdfs = map(_flat_cdfs, (activity, mixtures, popularity))
    pairs = np.zeros(0, dtype=np.int64)
    users = np.arange(n_likes // 2, dtype=np.int64) % n_users
    for _ in range(_MAX_ROUNDS):
        tastes = _sample(taste_cdfs, users, n_tastes, rng)
        items = first_item[tastes] + _sample(item_cdfs, tastes, n_ranks, rng)
        # Sorted by hand: np.unique uses a hash table here, which is ten times slower.
        pairs = np.sort(np.append(pairs, users * n_items + items))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
        missing = np.zeros(n_likes - pairs.size, dtype=np.int64)
        if not missing.size:
            return pairs // n_items, pairs % n_items
        users = _sample(user_cdf, missing, n_users, rng)
    raise ValueError(
        f"n_interactions={n_likes} are more than these users find to their tastes; "
        "ask for fewer, for fewer tastes or for more noise"
    )


def _taste_name(taste: int) -> str:
    lap, place = divmod(taste, len(GENRES))
    return GENRES[place] + (str(lap + 1) if lap else "")


def _flat_cdfs(weights: np.ndarray) -> np.ndarray:
    """Return the cumulative distributions of rows of weights, (n_rows, size), one after another.

    That of row g goes from g to g + 1, so that one sorted array holds all of them.
    """
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    cumulated += np.arange(len(weights))[:, np.newaxis]
    return cumulated.ravel()


def _sample(
    cdfs: np.ndarray, groups: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw one column for each of ``groups``, the numbers of rows in `_flat_cdfs`."""
    index = np.searchsorted(cdfs, groups + rng.random(groups.size), side="right")
    # The sum may round up to the next row's beginning.
    column: np.ndarray = np.clip(index - groups * size, 0, size - 1)
    return column
