"""Measures of rankings with binary relevance.

To add a metric, write one function as described at `Metric` and add one line to `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ._search.exact import nearest

# Rankings are computed for blocks of users; a block has at most about this many ranked items.
BLOCK_ENTRIES = 1 << 22

# A function of
#   hits        (m, min(k, n_items)) bool: whether the item at each rank of a user's ranking is
#               relevant, best rank first;
#   n_relevant  (m,) int: how many relevant items each user has, at least 1;
#   k           int: the length of the ranking that was asked for.
# It returns a float64 array (m,), the metric of each user.
Metric: TypeAlias = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def recall(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of a user's relevant items that are among the first k.

    Defined as by Hsieh et al., WWW 2017, section 4.1.2.

    Parameters
    ----------
    hits : numpy.ndarray, (m, min(k, n_items)), bool
        Whether the item at each rank is relevant, best rank first.
    n_relevant : numpy.ndarray, (m,), int
        Relevant items of each user, at least 1.
    k : int
        The length of the ranking.

    Returns
    -------
    numpy.ndarray, (m,), float64
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import recall
    >>> recall(np.array([[True, False], [False, False]]), np.array([4, 1]), k=2).tolist()
    [0.25, 0.0]
    """
    share: np.ndarray = hits.sum(axis=1) / n_relevant
    return share


def ndcg(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the normalised discounted cumulative gain of the first k items.

    Relevance is binary and the discount of rank 1, 2, ... is 1 / log2(rank + 1). The gain is
    divided by that of the best possible ranking, which begins with min(k, n_relevant) hits.

    Parameters
    ----------
    hits, n_relevant, k
        As for `recall`.

    Returns
    -------
    numpy.ndarray, (m,), float64
        In [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import ndcg
    >>> hits = np.array([[True, False, False], [False, False, True]])
    >>> ndcg(hits, np.array([1, 1]), k=3).tolist()
    [1.0, 0.5]
    """
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    # The table has min(k, n_items) entries, and n_relevant is at most n_items: the index is valid.
    best = np.cumsum(discounts)[np.minimum(n_relevant, k) - 1]
    gain: np.ndarray = np.where(hits, discounts, 0).sum(axis=1) / best
    return gain


METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
}


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The metrics of all users that have relevant items.

    Attributes
    ----------
    users : numpy.ndarray, (m,), int64
        Row numbers of the users evaluated, ascending.
    per_user : dict of str to dict of int to numpy.ndarray, (m,), float64
        ``per_user["recall"][k]`` has the recall@k of each of ``users``. There is an entry for each
        metric of `METRICS`.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast import Model
    >>> from cml_fast.evaluation import evaluate
    >>> model = Model([[0.0], [9.0]], [[1.0], [2.0], [3.0], [4.0]])
    >>> result = evaluate(model, sp.csr_array([[1, 0, 0, 1], [0, 0, 0, 1]]), ks=(1, 4))
    >>> result
    Evaluation(users=2, recall@1=0.7500, recall@4=1.0000, ndcg@1=1.0000, ndcg@4=0.9386)
    >>> result.per_user["recall"][1].tolist()
    [0.5, 1.0]
    """

    users: np.ndarray
    per_user: dict[str, dict[int, np.ndarray]]

    def means(self, metric: str) -> dict[int, float]:
        """Return the mean of a metric over the users evaluated, by k.

        Parameters
        ----------
        metric : str
            A name in `METRICS`.

        Raises
        ------
        KeyError
            If there is no such metric.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).means("recall")
        {10: 0.75}
        """
        return {k: float(values.mean()) for k, values in self.per_user[metric].items()}

    @property
    def recall(self) -> dict[int, float]:
        """The mean recall@k over the users evaluated, by k.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).recall
        {10: 0.75}
        """
        return self.means("recall")

    @property
    def ndcg(self) -> dict[int, float]:
        """The mean NDCG@k over the users evaluated, by k.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"ndcg": {10: np.array([0.0, 0.5])}}).ndcg
        {10: 0.25}
        """
        return self.means("ndcg")

    def to_dict(self) -> dict[str, Any]:
        """Return the means and the number of users as plain JSON values.

        Returns
        -------
        dict
            Keys such as "recall@50" and "ndcg@50", and "users", the number of users evaluated.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).to_dict()
        {'recall@10': 0.75, 'users': 2}
        """
        return {**self._flat_means(), "users": len(self.users)}

    def __repr__(self) -> str:
        means = [f"{name}={value:.4f}" for name, value in self._flat_means().items()]
        return f"Evaluation({', '.join([f'users={len(self.users)}', *means])})"

    def __str__(self) -> str:
        columns = {f"{metric + '@k':>8}": self.means(metric) for metric in self.per_user}
        lines = [f"{len(self.users)} users", "  ".join([f"{'k':>6}", *columns])]
        for k in next(iter(columns.values()), {}):
            values = [f"{means[k]:{len(name)}.4f}" for name, means in columns.items()]
            lines.append("  ".join([f"{k:>6}", *values]))
        return "\n".join(lines)

    def _flat_means(self) -> dict[str, float]:
        return {
            f"{metric}@{k}": mean
            for metric in self.per_user
            for k, mean in self.means(metric).items()
        }


def measure(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    relevant_items: sp.csr_array,
    exclude: sp.csr_array,
    ks: list[int],
    *,
    n_threads: int | None = None,
) -> Evaluation:
    """Compute the metrics of exact nearest-item rankings, without any check of the arguments.

    `evaluation.evaluate` checks them.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (n_users, r) and (n_items, r), float32
    relevant_items, exclude : scipy.sparse.csr_array, (n_users, n_items)
        The relevant items (there must be at least one in the whole matrix), and the items left out
        of the rankings. All stored entries count, whatever their values.
    ks : list of int
        The lengths of the rankings, ascending.
    n_threads : int or None
        CPU threads, those of BLAS included; None uses all cores that this process may use.

    Returns
    -------
    Evaluation
        The metrics of the users that have at least one relevant item.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.metrics import measure
    >>> users, items = np.zeros((1, 1), np.float32), np.array([[1], [2], [3]], np.float32)
    >>> measure(users, items, sp.csr_array([[0, 1, 0]]), sp.csr_array([[1, 0, 0]]), [1])
    Evaluation(users=1, recall@1=1.0000, ndcg@1=1.0000)
    """

    def rank(users: np.ndarray, n: int) -> np.ndarray:
        return nearest(user_vectors[users], item_vectors, n, exclude[users], n_threads)[0]

    return measure_rankings(rank, relevant_items, ks)


def measure_rankings(
    rank: Callable[[np.ndarray, int], np.ndarray], relevant_items: sp.csr_array, ks: list[int]
) -> Evaluation:
    """Compute the metrics of any rankings, without any check of the arguments.

    Parameters
    ----------
    rank : callable
        ``rank(users, n)`` returns an (m, n) int64 array: for each of m row numbers of users, the
        row numbers of n distinct items, best first, or -1 where there are no more items.
    relevant_items : scipy.sparse.csr_array, (n_users, n_items)
        All stored entries are relevant items, whatever their values. There must be at least one in
        the whole matrix.
    ks : list of int
        The lengths of the rankings, ascending.

    Returns
    -------
    Evaluation
        The metrics of the users that have at least one relevant item.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.metrics import measure_rankings
    >>> ranked = np.array([[2, 0, 1], [0, 1, 2]])
    >>> relevant_items = sp.csr_array([[1, 0, 1], [0, 0, 1]])
    >>> measure_rankings(lambda users, n: ranked[users, :n], relevant_items, [2]).recall
    {2: 0.5}
    """
    users = np.flatnonzero(np.diff(relevant_items.indptr))
    width = min(ks[-1], relevant_items.shape[1])
    step = max(1, BLOCK_ENTRIES // width)
    parts: dict[str, dict[int, list[np.ndarray]]]
    parts = {name: {k: [] for k in ks} for name in METRICS}
    for start in range(0, len(users), step):
        block = users[start : start + step]
        relevant = relevant_items[block]
        hits, n_relevant = _hits(rank(block, width), relevant), np.diff(relevant.indptr)
        for name, metric in METRICS.items():
            for k in ks:
                parts[name][k].append(metric(hits[:, :k], n_relevant, k))
    per_user = {
        name: {k: np.concatenate(blocks) for k, blocks in by_k.items()}
        for name, by_k in parts.items()
    }
    return Evaluation(users, per_user)


def _hits(ranked: np.ndarray, relevant: sp.csr_array) -> np.ndarray:
    """Whether each ranked item is stored in the same row of ``relevant``: (m, width), bool."""
    m, n_items = relevant.shape
    # Each pair of user and item becomes one number; padding becomes -1, which no pair has.
    rows = np.arange(m)
    pairs = np.repeat(rows, np.diff(relevant.indptr)) * n_items + relevant.indices
    return np.isin(np.where(ranked < 0, -1, ranked + rows[:, None] * n_items), pairs)
