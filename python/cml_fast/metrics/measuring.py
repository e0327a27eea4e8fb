"""Rank the items for blocks of users, and collect the metrics of the rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from .._search.exact import nearest
from .registry import DEFAULT_METRICS, METRICS, Known, OfAllLists, OfHits, OfLists, OfOrder
from .result import Evaluation, PerUser

# Rankings are computed for blocks of users; a block has at most about this many ranked items.
BLOCK_ENTRIES = 1 << 20

# These are described at `measure_rankings`.
Rank: TypeAlias = Callable[[np.ndarray, int], np.ndarray]
Places: TypeAlias = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Progress: TypeAlias = Callable[[int, int], None]


def measure(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    relevant_items: sp.csr_array,
    exclude: sp.csr_array,
    ks: list[int],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    n_threads: int | None = None,
) -> Evaluation:
    """Compute metrics of hits of exact nearest-item rankings, without any check of the arguments.

    `evaluation.evaluate` checks them.

    Parameters
    ----------
    user_vectors, item_vectors : numpy.ndarray, (n_users, r) and (n_items, r), float32
    relevant_items, exclude : scipy.sparse.csr_array, (n_users, n_items)
        The relevant items (there must be at least one in the whole matrix), and the items left out
        of the rankings. All stored entries count, whatever their values.
    ks : list of int
        The lengths of the rankings, ascending.
    metrics : sequence of str
        Names in `METRICS` of metrics that need nothing but the hits.
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

    return measure_rankings(rank, relevant_items, ks, metrics)


def measure_rankings(
    rank: Rank,
    relevant_items: sp.csr_array,
    ks: Sequence[int],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    known: Known | None = None,
    places: Places | None = None,
    item_segments: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
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
    ks : sequence of int
        The lengths of the rankings, ascending.
    metrics : sequence of str
        Names in `METRICS`.
    known : Known, optional
        What metrics such as novelty need.
    places : callable, optional
        ``places(users)`` returns ``before`` and ``n_ranked`` of the metric "auc": for each relevant
        item of these users, in the order of the matrix, how many items are ranked before it; and
        how many items each user's ranking has.
    item_segments : dict of str to numpy.ndarray, (n_items,), bool, optional
        Groups of items: ``segments`` of the result then has the metrics of hits, and the AUC, with
        only these items as relevant ones.
    progress : callable, optional
        Called with the numbers of users done and of all users, after each block.

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
    everything = _Collector(ks, metrics, known or Known())
    of_items = [name for name in metrics if isinstance(METRICS[name], OfHits | OfOrder)]
    segments = {
        name: (members, _Collector(ks, of_items, Known()))
        for name, members in (item_segments or {}).items()
    }
    for start in range(0, len(users), step):
        block = users[start : start + step]
        relevant = relevant_items[block]
        ranked = rank(block, width)
        order = places(block) if places and "auc" in metrics else None
        everything.add(block, ranked, relevant, order)
        for members, collector in segments.values():
            collector.add_members(block, ranked, relevant, order, members)
        if progress is not None:
            progress(start + len(block), len(users))
    found = {name: collector.result() for name, (_, collector) in segments.items()}
    return everything.result({name: one for name, one in found.items() if len(one.users)})


class _Collector:
    """The metrics of one set of relevant items, block by block."""

    def __init__(self, ks: Sequence[int], metrics: Sequence[str], known: Known) -> None:
        self._ks, self._metrics, self._known = ks, metrics, known
        self._users: list[np.ndarray] = []
        self._parts: dict[str, dict[int | None, list[np.ndarray]]] = {name: {} for name in metrics}
        self._recommended: dict[int, np.ndarray] = {}

    def add_members(
        self,
        users: np.ndarray,
        ranked: np.ndarray,
        relevant: sp.csr_array,
        order: tuple[np.ndarray, np.ndarray] | None,
        members: np.ndarray,
    ) -> None:
        """Add a block of users with only the ``members`` of the relevant items."""
        chosen = members[relevant.indices]
        owners = np.repeat(np.arange(len(users)), np.diff(relevant.indptr))[chosen]
        counts = np.bincount(owners, minlength=len(users))
        some = counts > 0
        kept = sp.csr_array(
            (relevant.data[chosen], relevant.indices[chosen], np.append(0, np.cumsum(counts))),
            shape=relevant.shape,
        )
        if order is not None:
            order = (order[0][chosen], order[1][some])
        if some.any():
            self.add(users[some], ranked[some], kept[some], order)

    def add(
        self,
        users: np.ndarray,
        ranked: np.ndarray,
        relevant: sp.csr_array,
        order: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        """Add a block of users, each with a relevant item at least."""
        self._users.append(users)
        n_relevant = np.diff(relevant.indptr).astype(np.int64)
        hits = stored(ranked, relevant)
        for name in self._metrics:
            metric = METRICS[name]
            if isinstance(metric, OfOrder):
                if order is not None:
                    owners = np.repeat(np.arange(len(users)), n_relevant)
                    values = metric.function(order[0], owners, n_relevant, order[1])
                    self._keep(name, None, values)
                continue
            for k in self._ks:
                if isinstance(metric, OfHits):
                    self._keep(name, k, metric.function(hits[:, :k], n_relevant, k))
                elif isinstance(metric, OfLists):
                    needed = [self._needed(need, users) for need in metric.needs]
                    self._keep(name, k, metric.function(ranked[:, :k], *needed))
                else:
                    first = ranked[:, :k]
                    seen = self._recommended.setdefault(k, np.zeros(relevant.shape[1], dtype=bool))
                    seen[first[first >= 0]] = True

    def result(self, segments: dict[str, Evaluation] | None = None) -> Evaluation:
        """Return the metrics of all blocks."""
        users = np.concatenate(self._users) if self._users else np.zeros(0, dtype=np.int64)
        per_user: PerUser = {}
        overall: dict[str, dict[int, float]] = {}
        for name in self._metrics:
            metric = METRICS[name]
            if isinstance(metric, OfAllLists):
                overall[name] = {k: metric.function(self._recommended[k]) for k in self._ks}
            elif self._parts[name]:
                per_user[name] = {k: np.concatenate(v) for k, v in self._parts[name].items()}
        return Evaluation(users, per_user, overall, segments or {})

    def _keep(self, name: str, k: int | None, values: np.ndarray) -> None:
        self._parts[name].setdefault(k, []).append(values)

    def _needed(self, need: str, users: np.ndarray) -> Any:
        value = getattr(self._known, need)
        return value[users] if need == "own_popularity" else value


def stored(ranked: np.ndarray, matrix: sp.csr_array) -> np.ndarray:
    """Return whether each ranked item is stored in the same row of a matrix: (m, width), bool."""
    m, n_items = matrix.shape
    # Each pair of user and item becomes one number; padding becomes -1, which no pair has.
    rows = np.arange(m)
    pairs = np.repeat(rows, np.diff(matrix.indptr)) * n_items + matrix.indices
    return np.isin(np.where(ranked < 0, -1, ranked + rows[:, None] * n_items), pairs)
