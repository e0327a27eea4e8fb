"""How many likes a softmax over items expects of each of them, to the bit on every machine."""

from __future__ import annotations

import functools

import numpy as np

from .._threads import blas_threads

# A sample of users is enough to say how many likes a model expects: so many that each like stands
# for this many pairs of a user and an item, which takes about a hundredth of a training.
PAIRS_OF_LIKE = 64
FEWEST_USERS, MOST_USERS = 256, 1024
# Scores that are held, and of these what stays in the cache of a core while odds become of them: a
# few rows at least, for which a call of NumPy is worth while.
BLOCK_NUMBERS, CACHED_NUMBERS, FEWEST_ROWS = 1 << 22, 1 << 16, 4
# Vectors are rounded to integers, none of them longer than this. So products and their sums are
# integers up to 2^24, which float32 adds up without an error, in any order.
LONGEST = 4000.0
# Exponents are rounded to such parts of 1. Below the smallest one the exponential counts as 0.
EXPONENT_PARTS = 4096
SMALLEST_EXPONENTIAL = 14
EXP_MINUS_PART = 0.9997558891748972  # exp(-1 / EXPONENT_PARTS)
# What stands for 1: in exponentials, and in shares of all likes. So sums of both, and of products,
# are integers up to 2^53, which float64 adds up without an error, in any order.
ONE_BITS, SHARE_BITS = 20, 52


def sample_of_users(user_counts: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the users by whom to tell how many likes a model expects: all, or some of them.

    These are chosen by their likes, of which all, in the order of the users, are divided into equal
    parts: whose are those in the middle of each part.

    Parameters
    ----------
    user_counts : numpy.ndarray, (n_users,), int
        How many likes each user has.
    n_items : int

    Returns
    -------
    rows : numpy.ndarray, (m,), int64
        Ascending.
    shares : numpy.ndarray, (m,), float64
        Of all likes, which each of them stands for.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics.expected_likes import sample_of_users
    >>> rows, shares = sample_of_users(np.array([1, 0, 3]), n_items=2)
    >>> rows.tolist(), shares.tolist()
    ([0, 2], [0.25, 0.75])
    """
    ends = np.cumsum(user_counts, dtype=np.int64)
    n_likes = int(ends[-1]) if len(ends) else 0
    rows = np.flatnonzero(user_counts)
    n_parts = min(max(PAIRS_OF_LIKE * n_likes // n_items, FEWEST_USERS), MOST_USERS)
    if len(rows) <= n_parts:
        return rows, user_counts[rows] / max(1, n_likes)
    middles = (2 * np.arange(n_parts) + 1) * n_likes // (2 * n_parts)
    rows, times = np.unique(np.searchsorted(ends, middles, side="right"), return_counts=True)
    return rows, times / n_parts


def expected_shares(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    shares: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """Which share of all likes the softmax expects of each item.

    q_k = sum_u s_u exp(-d_uk^2 / T) / sum_j exp(-d_uj^2 / T), where s_u is the share of a user. All
    sums are exact, so the result is the same to the bit on every machine, with any BLAS.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (m, r) and (n_items, r), float32
        Those of users without a share are not needed.
    shares : numpy.ndarray, (m,), float64
        See `sample_of_users`.
    temperature : float

    Returns
    -------
    numpy.ndarray, (n_items,), float64
        Their sum is that of ``shares``.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics.expected_likes import expected_shares
    >>> users, items = np.zeros((1, 1), np.float32), np.array([[0], [1]], np.float32)
    >>> expected_shares(users, items, np.array([1.0]), 0.5).round(2).tolist()
    [0.88, 0.12]
    """
    n_items, r = item_vectors.shape
    longest = max(_longest(user_vectors), _longest(item_vectors))
    scale = 2.0 ** np.floor(np.log2(LONGEST / longest)) if longest > 0 else 1.0
    items = np.rint(item_vectors * np.float32(scale))
    lengths = _squared_lengths(items).astype(np.float32)
    items *= -2
    per_unit = np.float32(min(EXPONENT_PARTS / (scale**2 * temperature), 1e30))
    odds_of = _exponentials()
    expected = np.zeros(n_items)
    n_rows = max(1, BLOCK_NUMBERS // max(n_items, r))
    n_cached = min(n_rows, max(FEWEST_ROWS, CACHED_NUMBERS // n_items))
    # Used again for all rows: new memory for each of them takes longer than what is computed.
    places = np.empty((n_cached, n_items), dtype=np.intp)
    odds = np.empty((n_cached, n_items))
    # With several threads OpenBLAS waits forever for one that has no memory, and this is soon done.
    with blas_threads(1):
        for begin in range(0, len(shares), n_rows):
            users = np.rint(user_vectors[begin : begin + n_rows] * np.float32(scale))
            # The squared length of a user is left out: it is the same for all items.
            scores = users @ items.T
            for first in range(0, len(scores), n_cached):
                far = scores[first : first + n_cached]
                far += lengths
                far -= far.min(axis=1, keepdims=True)
                far *= per_unit
                np.minimum(far, len(odds_of) - 1, out=far)
                n = len(far)
                places[:n] = np.rint(far, out=far)
                # No place is outside, so nothing is clipped; other modes need memory of their own.
                odds_of.take(places[:n], out=odds[:n], mode="clip")
                of_users = shares[begin + first :][:n] * 2.0**SHARE_BITS
                expected += np.rint(of_users / odds[:n].sum(axis=1)) @ odds[:n]
    return expected * 2.0**-SHARE_BITS


def _longest(vectors: np.ndarray) -> float:
    """The largest length of a row."""
    return float(np.sqrt(_squared_lengths(vectors).max(initial=0.0)))


def _squared_lengths(vectors: np.ndarray) -> np.ndarray:
    """Of each row, in float64: (n,)."""
    found: np.ndarray = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return found


@functools.cache
def _exponentials() -> np.ndarray:
    """2^ONE_BITS exp(-i / EXPONENT_PARTS) for i = 0, 1, ..., as integers; the last one is 0."""
    steps = np.full(SMALLEST_EXPONENTIAL * EXPONENT_PARTS, EXP_MINUS_PART)
    steps[0] = 2.0**ONE_BITS
    # One product after another: the exponential of a library may have other last bits elsewhere.
    return np.append(np.rint(np.multiply.accumulate(steps)), 0)


def expected_likes(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    user_counts: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """How many likes the softmax expects of each item, if users have as many as they have.

    The e_k of `Model.with_popularity_bias`: (n_items,), float64. See `expected_shares`.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics.expected_likes import expected_likes
    >>> users, items = np.zeros((1, 1), np.float32), np.array([[0], [1]], np.float32)
    >>> expected_likes(users, items, np.array([10]), 0.5).round(1).tolist()
    [8.8, 1.2]
    """
    rows, shares = sample_of_users(user_counts, len(item_vectors))
    found = expected_shares(user_vectors[rows], item_vectors, shares, temperature)
    total: int = user_counts.sum()
    return total * found
