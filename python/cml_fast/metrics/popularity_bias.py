"""How much nearer popular items should be: by the likes that a model expects, and held-out ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._search.exact import squared_lengths
from .._threads import blas_threads, thread_count
from .measuring import measure

# A sample of users is enough to say how many likes a model expects: at most so many pairs of a user
# and an item, and blocks of so many numbers.
MAX_PAIRS = 1 << 27
BLOCK_NUMBERS = 1 << 20

# Candidates are 0 and powers of 2 of the largest squared length of an item, from this one on, as
# long as that improves the metric.
SMALLEST_EXPONENT = -8
LARGEST_EXPONENT = 8
# A candidate may be so many times no better than the best so far before the search ends.
PATIENCE = 2
N_DIGITS = 2  # that are significant, of a candidate
MAX_USERS = 5000  # on whom the metric is measured


def expected_likes(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    user_counts: np.ndarray,
    temperature: float,
    n_threads: int | None = None,
) -> np.ndarray:
    """How many likes the softmax expects of each item, if users have as many as they have.

    e_k = sum_u n_u exp(-d_uk^2 / T) / sum_j exp(-d_uj^2 / T), over users with likes. Where they are
    more than ``MAX_PAIRS`` / n_items, it is estimated from so many of them, the same every time.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (n_users, r) and (n_items, r), float32
    user_counts : numpy.ndarray, (n_users,), int
        How many likes each user has.
    temperature : float
    n_threads : int or None
        Of BLAS.

    Returns
    -------
    numpy.ndarray, (n_items,), float64
        The sum is that of ``user_counts``.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics.popularity_bias import expected_likes
    >>> users, items = np.zeros((1, 1), np.float32), np.array([[0], [1]], np.float32)
    >>> expected_likes(users, items, np.array([10]), 0.5).round(1).tolist()
    [8.8, 1.2]
    """
    n_items, r = item_vectors.shape
    users = np.flatnonzero(user_counts)
    most = max(1, MAX_PAIRS // n_items)
    if len(users) > most:
        users = np.sort(np.random.default_rng(0).choice(users, most, replace=False))
    lengths = squared_lengths(item_vectors)
    expected = np.zeros(n_items)
    n_rows = max(1, BLOCK_NUMBERS // max(n_items, r))
    with blas_threads(thread_count(n_threads)):
        for begin in range(0, len(users), n_rows):
            block = users[begin : begin + n_rows]
            # The squared length of a user is left out: it is the same for all items.
            odds = (user_vectors[block] @ item_vectors.T).astype(np.float64)
            odds *= 2
            odds -= lengths
            odds -= odds.max(axis=1, keepdims=True)
            odds /= temperature
            np.exp(odds, out=odds)
            expected += (user_counts[block] / odds.sum(axis=1)) @ odds
    scale: float = user_counts.sum() / max(1, user_counts[users].sum())
    return expected * scale


def heights(log_ratios: np.ndarray, weight: float) -> np.ndarray:
    """The coordinate h_k of `Model.with_popularity_bias` of items with these L_k, (n_items,)."""
    found: np.ndarray = np.sqrt(weight * (log_ratios.max() - log_ratios))
    return found


def choose_weight(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    log_ratios: np.ndarray,
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
    log_ratios : numpy.ndarray, (n_items,), float64
        The L_k of `Model.with_popularity_bias`.
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
    >>> likes, held_out = (sp.csr_array([[0, n], [0, n], [0, 1 - n]]) for n in (0, 1))
    >>> choose_weight(users, items, np.log([1, 2]), likes, held_out, "ndcg", 1)
    0.0039
    """
    asked = np.flatnonzero(np.diff(held_out.indptr))
    if len(asked) > MAX_USERS:
        asked = np.sort(np.random.default_rng(0).choice(asked, MAX_USERS, replace=False))
    wanted, known = held_out[asked], likes[asked]
    users = np.pad(user_vectors[asked], [(0, 0), (0, 1)])

    def values(weight: float) -> np.ndarray:
        """Of each user."""
        items = np.column_stack([item_vectors, heights(log_ratios, weight).astype(np.float32)])
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
