"""How much effort a search needs for a wished recall, found by trial on the model's own users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from . import exact

# Users to try with: the recall of their lists of 10 is known to about 0.2 percent.
SAMPLE_USERS = 1000
# A user's likes, which a search leaves out, are stood for by the nearest items, at most so many.
MOST_LIKES = 200


class Tunable(Protocol):
    """What `tune` needs of an index."""

    def efforts(self) -> list[dict[str, Any]]: ...

    def nearest(
        self, queries: np.ndarray, n: int, exclude: sp.csr_array, **options: Any
    ) -> tuple[np.ndarray, np.ndarray]: ...


class Trial:
    """Some users, what is left out for each of them, and what exact search finds.

    The recall of a search is the share of those n items that it finds, on average over the users.
    """

    def __init__(
        self, users: np.ndarray, items: np.ndarray, n: int, counts: np.ndarray | None
    ) -> None:
        """Draw from ``users``, always the same ones.

        ``counts`` says how many likes each user has. They are usually among the nearest items, and
        searches leave them out, so that the items wanted are those which come after them.
        """
        drawn = np.arange(len(users))
        if len(users) > SAMPLE_USERS:
            drawn = np.random.default_rng(0).choice(drawn, SAMPLE_USERS, replace=False)
        self.n = n
        self.queries = users[drawn]
        likes = np.zeros(len(drawn), dtype=np.int64)
        if counts is not None:
            likes = np.minimum(counts[drawn], min(MOST_LIKES, max(0, len(items) - n)))
        nothing = sp.csr_array((len(drawn), len(items)))
        nearest, distances = exact.nearest(self.queries, items, n + int(likes.max()), nothing)
        first = np.arange(nearest.shape[1]) < likes[:, None]
        self.exclude = sp.csr_array(
            (np.ones(likes.sum()), nearest[first], np.concatenate([[0], np.cumsum(likes)])),
            shape=nothing.shape,
        )
        wanted = np.take_along_axis(distances, likes[:, None] + np.arange(n), axis=1)
        self.available = np.isfinite(wanted).sum(axis=1)
        self.farthest = np.where(np.isfinite(wanted), wanted, 0).max(axis=1)

    def recall(self, index: Tunable, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the recall of a search and its standard error.

        What is found counts if it is as near as one of the items wanted: of items at the same
        distance, others may be found. If a user has had all items, nothing is missed.
        """
        _, distances = index.nearest(self.queries, self.n, self.exclude, **options)
        hits = (distances <= self.farthest[:, None]).sum(axis=1)
        shares = np.where(self.available, hits / np.maximum(1, self.available), 1)
        return float(shares.mean()), float(shares.std() / len(shares) ** 0.5)


def tune(index: Tunable, trial: Trial, wish: float) -> tuple[dict[str, Any], float]:
    """Find the least effort with at least the wished recall, beyond the error of the sample.

    Returns
    -------
    options : dict
        Search options; those of the greatest effort if none reaches ``wish``.
    recall : float
        What was measured with them.
    """
    for options in index.efforts():
        recall, error = trial.recall(index, options)
        if recall - error >= wish:
            break
    return options, recall
