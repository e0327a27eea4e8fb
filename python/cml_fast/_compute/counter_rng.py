"""Random numbers of the work between launches: by counters, as in csrc/core/philox.h."""

from __future__ import annotations

import numpy as np

# The second half of the generator's key: those before it are in csrc/core/philox.h.
DROPOUT, COVARIANCE, FEATURES = 2, 3, 4


def random_words(seed: int, purpose: int, counter: tuple[int, int], n: int) -> np.ndarray:
    """So many words (n,), uint64, with the key (seed, purpose) and the counter (., 0, *counter).

    Raw words, because NumPy may change how its generators make numbers of them.
    """
    philox = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64),
        counter=np.array([0, 0, *counter], dtype=np.uint64),
    )
    return philox.random_raw(n)


def distinct_rows(words: np.ndarray, n_rows: int) -> np.ndarray:
    """A row number for each word, ascending, int64; one that comes twice is there once."""
    return np.unique(words % np.uint64(n_rows)).astype(np.int64)
