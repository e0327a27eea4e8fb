"""The metrics by name. A new one is one function and one line in `METRICS`.

The class of the line says what the function gets:

- `OfHits`: ``function(hits, n_relevant, k)``, like `accuracy.recall`;
- `OfLists`: ``function(items, ...)``, like `beyond_accuracy.novelty`, with what it ``needs``, by
  the names of the fields of `Known`;
- `OfAllLists`: ``function(recommended)``, like `beyond_accuracy.coverage`: one number for all;
- `OfOrder`: ``function(before, owners, n_relevant, n_ranked)``, like `accuracy.auc`; it has no k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from . import accuracy, beyond_accuracy


@dataclass(frozen=True)
class OfHits:
    """Of the hits among the first k items."""

    function: Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class OfLists:
    """Of the first k items, whether they are hits or not."""

    function: Callable[..., np.ndarray]
    needs: tuple[str, ...]


@dataclass(frozen=True)
class OfAllLists:
    """Of the items that are among the first k of any user."""

    function: Callable[[np.ndarray], float]


@dataclass(frozen=True)
class OfOrder:
    """Of the places of the relevant items in the order of all items."""

    function: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


Metric: TypeAlias = OfHits | OfLists | OfAllLists | OfOrder

METRICS: dict[str, Metric] = {
    "recall": OfHits(accuracy.recall),
    "recall_capped": OfHits(accuracy.recall_capped),
    "precision": OfHits(accuracy.precision),
    "hit_rate": OfHits(accuracy.hit_rate),
    "ndcg": OfHits(accuracy.ndcg),
    "map": OfHits(accuracy.average_precision),
    "mrr": OfHits(accuracy.reciprocal_rank),
    "auc": OfOrder(accuracy.auc),
    "coverage": OfAllLists(beyond_accuracy.coverage),
    "novelty": OfLists(beyond_accuracy.novelty, ("item_counts", "n_likers")),
    "diversity": OfLists(beyond_accuracy.diversity, ("item_vectors",)),
    "popularity": OfLists(beyond_accuracy.popularity, ("item_counts",)),
    "popularity_lift": OfLists(beyond_accuracy.popularity_lift, ("item_counts", "own_popularity")),
}

DEFAULT_METRICS = ("recall", "ndcg")
METRICS_OF_HITS = tuple(name for name, metric in METRICS.items() if isinstance(metric, OfHits))


@dataclass(frozen=True)
class Known:
    """What metrics of lists need besides the lists; None is not known.

    Attributes
    ----------
    item_counts : numpy.ndarray, (n_items,), int64, or None
        Likes of each item in training.
    n_likers : int or None
        Users who have likes in training.
    own_popularity : numpy.ndarray, (n_users,), float64, or None
        Of each user, the mean number of likes of the items liked in training; NaN without any.
    item_vectors : numpy.ndarray, (n_items, r), or None

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.metrics import Known, measure_rankings
    >>> known = Known(item_counts=np.array([4, 1, 2]), n_likers=4)
    >>> ranked, relevant_items = np.array([[2, 0, 1]]), sp.csr_array([[1, 0, 1]])
    >>> found = measure_rankings(
    ...     lambda users, n: ranked[users, :n], relevant_items, [2], ["novelty"], known=known
    ... )
    >>> found.means("novelty")
    {2: 0.5}
    """

    item_counts: np.ndarray | None = None
    n_likers: int | None = None
    own_popularity: np.ndarray | None = None
    item_vectors: np.ndarray | None = None


# How to give what a metric needs and is not known.
REMEDIES = {
    "item_counts": "the likes of training: give train=",
    "n_likers": "the likes of training: give train=",
    "own_popularity": "the likes of training: give train=",
    "item_vectors": "a model with item_vectors",
}


def check_metrics(metrics: str | Iterable[str]) -> tuple[str, ...]:
    """Return distinct names of metrics, or raise TypeError / ValueError."""
    names = (metrics,) if isinstance(metrics, str) else metrics
    if not isinstance(names, Iterable):
        raise TypeError(f"metrics must be names such as ('recall', 'ndcg'), got {metrics!r}")
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in METRICS:
            raise ValueError(f"metrics must be among {tuple(METRICS)}, got {name!r}")
    if not names:
        raise ValueError("metrics must have at least one name, got none")
    return names


def check_known(metrics: Iterable[str], known: Known) -> None:
    """Raise ValueError if a metric needs what is not known."""
    for name in metrics:
        metric = METRICS[name]
        for need in metric.needs if isinstance(metric, OfLists) else ():
            if getattr(known, need) is None:
                raise ValueError(f"the metric {name!r} needs {REMEDIES[need]}")
