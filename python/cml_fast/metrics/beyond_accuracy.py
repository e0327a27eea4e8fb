"""Metrics of what is recommended, whether the users like it or not.

``items`` are the first items of each user's ranking, (m, at most k) int64 row numbers, -1 where
there are no more.
"""

from __future__ import annotations

import numpy as np

# Products of vectors (float64) that `diversity` holds at once.
BLOCK_NUMBERS = 1 << 22


def coverage(recommended: np.ndarray) -> float:
    """Return the share of all items that are recommended to some user.

    Catalogue coverage (Ge et al., RecSys 2010), as ``CatalogCoverage(k, normalize=True)`` of
    RecTools 0.19. It is one number for all users, so it has no confidence interval.

    Parameters
    ----------
    recommended : numpy.ndarray, (n_items,), bool
        Which items are among the first k of some user.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import coverage
    >>> coverage(np.array([True, False, False, True]))
    0.5
    """
    return float(recommended.mean())


def novelty(items: np.ndarray, item_counts: np.ndarray, n_likers: int) -> np.ndarray:
    """Return the mean self-information -log2(share of the users who like it) of the items.

    In bits (Vargas and Castells, RecSys 2011). As ``MeanInvUserFreq`` of RecTools 0.19: the users
    are those who have likes in training, and an item without likes counts as liked by one.

    Parameters
    ----------
    items : numpy.ndarray, (m, at most k), int64
        Row numbers of the items recommended to each user; -1 where there are no more.
    item_counts : numpy.ndarray, (n_items,), int64
        Likes of each item in training.
    n_likers : int
        Users who have likes in training.

    Returns
    -------
    numpy.ndarray, (m,), float64
        At least 0; NaN without items.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import novelty
    >>> novelty(np.array([[0, 1], [1, -1]]), np.array([8, 2]), n_likers=8).tolist()
    [1.0, 2.0]
    """
    return _mean(items, -np.log2(np.maximum(item_counts, 1) / max(n_likers, 1)))


def popularity(items: np.ndarray, item_counts: np.ndarray) -> np.ndarray:
    """Return the mean number of likes that the items have in training.

    Average recommendation popularity (Yin et al., PVLDB 2012), as ``AvgRecPopularity`` of RecTools
    0.19.

    Parameters
    ----------
    items, item_counts
        As for `novelty`.

    Returns
    -------
    numpy.ndarray, (m,), float64
        At least 0; NaN without items.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import popularity
    >>> popularity(np.array([[0, 1], [1, -1]]), np.array([8, 2])).tolist()
    [5.0, 2.0]
    """
    return _mean(items, item_counts.astype(np.float64))


def popularity_lift(
    items: np.ndarray, item_counts: np.ndarray, own_popularity: np.ndarray
) -> np.ndarray:
    """Return how much more popular the items are than the user's own likes, as a share of these.

    The lift (q - p) / p of Abdollahpouri et al., RecSys 2020, with each user as a group: q is the
    `popularity` of the recommended items and p that of the user's likes in training. 0 is no bias,
    1 means items twice as popular.

    Parameters
    ----------
    items, item_counts
        As for `novelty`.
    own_popularity : numpy.ndarray, (m,), float64
        The mean number of likes of the items that each user likes in training.

    Returns
    -------
    numpy.ndarray, (m,), float64
        At least -1; NaN without items, or without likes in training.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import popularity_lift
    >>> popularity_lift(np.array([[0, 1]]), np.array([8, 2]), np.array([2.5])).tolist()
    [1.0]
    """
    lift: np.ndarray = popularity(items, item_counts) / own_popularity - 1
    return lift


def diversity(items: np.ndarray, item_vectors: np.ndarray) -> np.ndarray:
    """Return the mean distance between any two of the items in the learned space.

    Intra-list diversity (Ziegler et al., WWW 2005) with Euclidean distances, as
    ``IntraListDiversity`` of RecTools 0.19.

    Parameters
    ----------
    items : numpy.ndarray, (m, at most k), int64
        As for `novelty`.
    item_vectors : numpy.ndarray, (n_items, r), float

    Returns
    -------
    numpy.ndarray, (m,), float64
        At least 0; 0 with fewer than two items.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import diversity
    >>> vectors = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> diversity(np.array([[0, 1], [0, 2], [2, -1]]), vectors).tolist()
    [5.0, 10.0, 0.0]
    """
    m, width = items.shape
    total = np.zeros(m)
    step = max(1, BLOCK_NUMBERS // (width * (width + item_vectors.shape[1])))
    for start in range(0, m, step):
        chosen = items[start : start + step]
        vectors = item_vectors[chosen].astype(np.float64)
        vectors -= vectors[:, :1]  # shorter, so that less is lost in the differences
        norms = np.einsum("uir,uir->ui", vectors, vectors)
        squares = norms[:, :, None] + norms[:, None] - 2 * vectors @ vectors.transpose(0, 2, 1)
        there = chosen >= 0
        pairs = there[:, :, None] & there[:, None] & ~np.eye(width, dtype=bool)
        total[start : start + step] = np.sqrt(squares.clip(0), where=pairs, out=0 * squares).sum(
            axis=(1, 2)
        )
    n = (items >= 0).sum(axis=1)
    mean: np.ndarray = total / np.maximum(n * (n - 1), 1)
    return mean


def _mean(items: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean value of each user's items; NaN where there are none."""
    there = items >= 0
    total = np.where(there, values[items], 0).sum(axis=1)
    n = there.sum(axis=1)
    mean: np.ndarray = np.divide(total, n, where=n > 0, out=np.full(len(items), np.nan))
    return mean
