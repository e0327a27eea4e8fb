"""Random numbers for the steps between launches, keyed by counters as in csrc/core/philox.h."""

from __future__ import annotations

import numpy as np

# The purpose of the numbers is the second half of the generator's key; 0 and 1 are the kernels'.
DROPOUT, COVARIANCE, FEATURES = 2, 3, 4


def random_words(seed: int, purpose: int, counter: tuple[int, int], n: int) -> np.ndarray:
    """Draw ``n`` words, uint64, with the key (seed, purpose) and the counter (., 0, *counter).

    Raw words, because NumPy may change how its generators turn words into numbers.
    """
    philox = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64),
        counter=np.array([0, 0, *counter], dtype=np.uint64),
    )
    return philox.random_raw(n)


def distinct_rows(words: np.ndarray, n_rows: int) -> np.ndarray:
    """Turn each word into a row number; return the distinct ones, ascending, int64."""
    return np.unique(words % np.uint64(n_rows)).astype(np.int64)
