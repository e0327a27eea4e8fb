"""How much nearer popular items should be: by the likes that a model expects, and held-out ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .measuring import measure

LOG_2 = 0.6931471805599453

# The weight of a calibrated bias, where none is given, as a share of the temperature. All of it
# would suit the likes of training, which the vectors fit more closely than other likes.
CALIBRATED_SHARE = 1 / 4

# Candidates are 0 and powers of 2 of the largest squared length of an item, from this one on, as
# long as that improves the metric.
SMALLEST_EXPONENT = -8
LARGEST_EXPONENT = 8
# A candidate may be so many times no better than the best so far before the search ends.
PATIENCE = 2
N_DIGITS = 2  # that are significant, of a candidate
MAX_USERS = 5000  # on whom the metric is measured


def log_ratios(item_counts: np.ndarray, expected: np.ndarray | float) -> np.ndarray:
    """The L_k of `Model.with_popularity_bias`: (n_items,), float64, the same bits everywhere."""
    fraction, exponent = np.frexp((item_counts + 1) / (np.asarray(expected) + 1))
    low = fraction < np.sqrt(0.5)
    m = np.where(low, 2 * fraction, fraction)
    # log m = 2 artanh s, by its series; |s| < 0.172.
    s = (m - 1) / (m + 1)
    square = s * s
    series = np.zeros_like(s)
    for power in range(21, 0, -2):
        series = series * square + 1 / power
    found: np.ndarray = (exponent - low) * LOG_2 + 2 * (s * series)
    return found


def heights(log_ratios: np.ndarray, weight: float) -> np.ndarray:
    """The coordinate h_k of `Model.with_popularity_bias` of items with these L_k, (n_items,)."""
    found: np.ndarray = np.sqrt(weight * (log_ratios.max() - log_ratios))
    return found


def with_heights(
    user_vectors: np.ndarray, item_vectors: np.ndarray, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors with one more coordinate, float32: these heights of items, and 0 of users."""
    users = np.pad(user_vectors, [(0, 0), (0, 1)])
    return users, np.column_stack([item_vectors, heights.astype(np.float32)])


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

    def values(weight: float) -> np.ndarray:
        """Of each user."""
        vectors = with_heights(user_vectors[asked], item_vectors, heights(log_ratios, weight))
        found = measure(*vectors, wanted, known, [k], [metric], n_threads=n_threads)
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
