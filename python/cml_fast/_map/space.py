"""Points of one space, and the nearest of each, which a map shows and a projection may need."""

from __future__ import annotations

import numpy as np

from .._search.exact import nearest, self_mask


class Space:
    """Points and, once they are asked for, the exact nearest neighbours of each.

    Parameters
    ----------
    vectors : numpy.ndarray, (n, r), float32
    n_threads : int or None
        As for `Model.recommend`. The neighbours do not depend on it.
    """

    def __init__(self, vectors: np.ndarray, n_threads: int | None) -> None:
        self.vectors = vectors
        self.n_threads = n_threads
        self._found: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def neighbours(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows, (n, k), int64, and distances, (n, k), float32, of the nearest of each point.

        k becomes n - 1 where there are no more. The largest k so far is kept: ask for it first.
        """
        k = min(k, len(self) - 1)
        if self._found is None or self._found[0].shape[1] < k:
            rows = np.arange(len(self))
            mask = self_mask(rows, len(self))
            self._found = nearest(self.vectors, self.vectors, max(k, 1), mask, self.n_threads)
        return self._found[0][:, :k], self._found[1][:, :k]
