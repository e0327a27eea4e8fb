"""How much nearer popular items should be: the weight of a popularity bias, on held-out likes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .measuring import measure

# Candidates are 0 and powers of 2 of the largest squared length of an item, from this one on, as
# long as that improves the metric.
SMALLEST_EXPONENT = -8
LARGEST_EXPONENT = 8
# A candidate may be so many times no better than the best so far before the search ends.
PATIENCE = 2
N_DIGITS = 2  # that are significant, of a candidate
MAX_USERS = 5000  # on whom the metric is measured


def heights(counts: np.ndarray, weight: float) -> np.ndarray:
    """The coordinate h_k of `Model.with_popularity_bias` of items with these likes, (n_items,)."""
    found: np.ndarray = np.sqrt(weight * np.log((counts.max() + 1) / (counts + 1)))
    return found


def choose_weight(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    likes: sp.csr_array,
    held_out: sp.csr_array,
    metric: str,
    k: int,
    n_threads: int | None = None,
) -> float:
    """Return the smallest weight that is within a standard error of the best one.

    The standard error is that of the mean difference between the two, of the same users. Nothing is
    checked: see `Model.with_popularity_bias`.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (n_users, r) and (n_items, r), float32
    likes, held_out : scipy.sparse.csr_array, (n_users, n_items)
        Those that the model was trained with, and others, at least one.
    metric : str
        Of hits, by its name in `METRICS`.
    k : int
        Length of the rankings.
    n_threads : int or None

    Returns
    -------
    float
        In units of squared distance. It may be 0.

    Examples
    --------
    Two items are equally far from both users, who both come to like the popular one:

    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.metrics.popularity_bias import choose_weight
    >>> users, items = np.zeros((3, 1), np.float32), np.array([[1], [-1]], np.float32)
    >>> likes = sp.csr_array([[0, 0], [0, 0], [0, 1]])
    >>> choose_weight(users, items, likes, sp.csr_array([[0, 1], [0, 1], [0, 0]]), "ndcg", 1)
    0.0039
    """
    asked = np.flatnonzero(np.diff(held_out.indptr))
    if len(asked) > MAX_USERS:
        asked = np.sort(np.random.default_rng(0).choice(asked, MAX_USERS, replace=False))
    wanted, known = held_out[asked], likes[asked]
    users = np.pad(user_vectors[asked], [(0, 0), (0, 1)])
    counts = np.bincount(likes.indices, minlength=likes.shape[1])

    def values(weight: float) -> np.ndarray:
        """Of each user."""
        items = np.column_stack([item_vectors, heights(counts, weight).astype(np.float32)])
        found = measure(users, items, wanted, known, [k], [metric], n_threads=n_threads)
        return np.asarray(found.per_user[metric][k])

    unit = float(np.square(item_vectors).sum(axis=1).max())
    tried = {0.0: values(0.0)}
    best = 0.0
    since_best = 0
    for exponent in range(SMALLEST_EXPONENT, LARGEST_EXPONENT + 1):
        weight = float(f"{unit * 2.0**exponent:.{N_DIGITS}g}")
        tried[weight] = values(weight)
        if tried[weight].mean() > tried[best].mean():
            best, since_best = weight, 0
        else:
            since_best += 1
        if since_best == PATIENCE:
            break
    for weight, own in tried.items():
        gains = tried[best] - own
        if gains.mean() <= gains.std() / np.sqrt(len(gains)):
            return weight
    return best
