"""Evaluate how well a model, or any other recommender, ranks held-out items."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp

from ._search.exact import places as exact_places
from ._validation.scalars import check_bool, check_choice, check_int
from .data._alignment import interaction_rows
from .data.interactions import Interactions
from .errors import DataError
from .metrics.measuring import Places, Progress, Rank, measure_rankings, stored
from .metrics.registry import DEFAULT_METRICS, Known, check_known, check_metrics
from .metrics.result import Cold, Evaluation
from .metrics.segments import item_segments, user_segments
from .model import Model

Matrix: TypeAlias = sp.sparray | sp.spmatrix | Interactions
# What is done with users, or items, without likes in training.
COLD = ("include", "exclude")
# Items in the full rankings that are held at a time, for recommenders whose AUC needs these.
FULL_ENTRIES = 1 << 22


class Recommender(Protocol):
    """What can be evaluated: a `Model`, the `baselines`, or an adapter of another package.

    A recommender may also have ``user_ids`` and ``item_ids``, which then must be those of the
    data, ``user_counts`` and ``item_counts``, the likes of each in training, and ``item_vectors``,
    for the metric "diversity"; all as `Model` has them.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.evaluation import evaluate
    >>> class Cheapest:
    ...     def recommend(self, users, n, exclude):
    ...         prices = np.broadcast_to([3.0, 1.0, 2.0], (len(users), 3)).copy()
    ...         prices[exclude[users].nonzero()] = np.inf
    ...         items = np.argsort(prices, axis=1)[:, :n]
    ...         prices = np.take_along_axis(prices, items, axis=1)
    ...         return np.where(np.isinf(prices), -1, items), prices
    >>> test, train = sp.csr_array([[0, 0, 1]]), sp.csr_array([[0, 1, 0]])
    >>> evaluate(Cheapest(), test, train, ks=(1,)).recall
    {1: 1.0}
    """

    def recommend(
        self, users: np.ndarray, n: int, exclude: sp.csr_array
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recommend n items to each user.

        Parameters
        ----------
        users : numpy.ndarray, (m,), int64
            Row numbers.
        n : int
        exclude : scipy.sparse.csr_array, (n_users, n_items)
            The stored entries of a user's row are items not to recommend.

        Returns
        -------
        rows : numpy.ndarray, (m, n), int
            Row numbers of distinct items, best first, -1 where there are no more.
        scores : numpy.ndarray, (m, n)
            A number for each, such as a distance or a score. Evaluation does not look at it.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast.baselines import MostPopular
        >>> train = sp.csr_array([[1, 0, 1], [0, 0, 1]])
        >>> MostPopular(train).recommend([1], n=3, exclude=train)[0].tolist()
        [[0, 1, -1]]
        """


def evaluate(
    model: Recommender,
    test: Matrix,
    exclude: Matrix | Sequence[Matrix] | None = None,
    ks: Iterable[int] = (10, 50, 100),
    *,
    metrics: str | Iterable[str] = DEFAULT_METRICS,
    train: Matrix | None = None,
    cold_users: str = "include",
    cold_items: str = "include",
    segments: bool = False,
    progress: bool | Progress = False,
) -> Evaluation:
    """Rank all items for each user that has test items, and measure the first k.

    Recall@k is the share of the user's test items that are among the first k items (Hsieh et
    al., WWW 2017, section 4.1.2). NDCG@k has binary relevance and the discount 1 / log2(rank + 1),
    and is divided by that of the best possible ranking, which begins with min(k, number of test
    items) hits. The other metrics are defined in `cml_fast.metrics`.

    Parameters
    ----------
    model : Model, or any Recommender
        Evaluated is what its ``recommend`` gives.
    test : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The non-zero entries are the held-out items. Their values do not matter.
    exclude : one or a list or tuple of the same, optional
        Items left out of a user's ranking, usually those of training and validation. A test item
        that is excluded counts as missed, with a warning.
    ks : iterable of int
        Lengths of the rankings, each at least 1. A length above n_items counts as n_items.
    metrics : str or iterable of str
        "recall", "recall_capped" (divided by min(k, number of test items)), "precision",
        "hit_rate", "ndcg", "map", "mrr", "auc" (of the whole order of the items, without a k),
        "coverage", "novelty", "diversity", "popularity", "popularity_lift".
    train : like test, optional
        The likes of training. By default the numbers of likes that the model recorded in training,
        if it has them, and otherwise ``exclude``. They tell which users and items had no likes in
        training ("cold" ones), which items are popular, and what a user likes.
    cold_users, cold_items : str
        "include" evaluates users without likes in training, and test items without likes in
        training, as all others. "exclude" leaves them out of the test set. They are counted in
        either case.
    segments : bool
        Whether to evaluate also users with no, few (up to the median) and many likes in training
        apart, and popular, rare and cold items; the popular items are the fewest that have half of
        all likes.
    progress : bool or callable
        True shows a bar on stderr. A callable gets the numbers of users done and of all users.

    Returns
    -------
    Evaluation
        Of the users with at least one test item.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or a metric needs what is not known.
    DataError
        If a matrix has another shape or other ids than the model, or ``test`` is empty.

    Notes
    -----
    Memory is needed for blocks of rankings, some 100 MiB, and 8 bytes for each user, metric and k.

    Examples
    --------
    One user at 0; the items 1 and 3 are held out, and item 0 is known from training.

    >>> import scipy.sparse as sp
    >>> from cml_fast import Model
    >>> from cml_fast.evaluation import evaluate
    >>> model = Model([[0.0]], [[1.0], [2.0], [3.0], [4.0]])
    >>> test, train = sp.csr_array([[0, 1, 0, 1]]), sp.csr_array([[1, 0, 0, 0]])
    >>> result = evaluate(model, test, exclude=train, ks=(1, 3))
    >>> result.recall
    {1: 0.5, 3: 1.0}
    >>> print(result)
    1 users
    items of test without likes in training: 2, included
         k  recall@k    ndcg@k
         1    0.5000    1.0000
         3    1.0000    0.9197
    >>> evaluate(model, test, train, ks=(3,), metrics=("recall", "mrr", "auc")).to_dict()
    {'recall@3': 1.0, 'mrr@3': 1.0, 'auc': 0.5, 'users': 1, 'cold_users': 0, 'cold_items': 2}
    """
    plan = check_plan(ks, metrics, cold_users, cold_items, segments)
    data = align([model], test, exclude, train, stacklevel=3)
    counts = [getattr(model, f"{what}_counts", None) for what in ("user", "item")]
    if train is None and counts[0] is not None and counts[1] is not None:
        data = replace(data, user_counts=counts[0], item_counts=counts[1])
    return measure_plan(model, data.without_cold(plan), plan, progress)


@dataclass(frozen=True)
class Plan:
    """What to measure; checked."""

    ks: list[int]
    metrics: tuple[str, ...]
    cold_users: str
    cold_items: str
    segments: bool


@dataclass(frozen=True)
class Data:
    """What to measure it on: matrices of the same users and items, counts of training."""

    relevant: sp.csr_array
    exclude: sp.csr_array
    likes: sp.csr_array | None
    user_counts: np.ndarray | None
    item_counts: np.ndarray | None
    cold: Cold | None = None

    def without_cold(self, plan: Plan) -> Data:
        """Find the users and items of test without likes in training, and leave them out if asked.

        Raises
        ------
        ValueError
            If they are to be left out and the likes of training are not known.
        DataError
            If nothing is left.
        """
        left_out = {"users": plan.cold_users == "exclude", "items": plan.cold_items == "exclude"}
        if self.user_counts is None or self.item_counts is None:
            for what, out in left_out.items():
                if out:
                    raise ValueError(
                        f"cold_{what}='exclude' needs the likes of training: give train="
                    )
            return self
        owners = np.repeat(np.arange(self.relevant.shape[0]), np.diff(self.relevant.indptr))
        user_is_cold = self.user_counts[owners] == 0
        item_is_cold = self.item_counts[self.relevant.indices] == 0
        cold = Cold(
            np.unique(owners[user_is_cold]),
            np.unique(self.relevant.indices[item_is_cold]).astype(np.int64),
            left_out["users"],
            left_out["items"],
        )
        out = (user_is_cold & left_out["users"]) | (item_is_cold & left_out["items"])
        if out.all():
            raise DataError(
                "test has only users or items without likes in training, which "
                "cold_users='exclude' and cold_items='exclude' leave out"
            )
        relevant = self.relevant.copy()
        relevant.data[out] = 0
        relevant.eliminate_zeros()
        return replace(self, relevant=relevant, cold=cold)

    def known(self, model: Any) -> Known:
        """Return what metrics need besides the rankings."""
        own = n_likers = None
        if self.user_counts is not None:
            n_likers = int(np.count_nonzero(self.user_counts))
        if self.likes is not None and self.item_counts is not None:
            n = np.diff(self.likes.indptr)
            total = self.likes @ self.item_counts.astype(np.float64)
            own = np.divide(total, n, where=n > 0, out=np.full(len(n), np.nan))
        return Known(self.item_counts, n_likers, own, getattr(model, "item_vectors", None))


def check_plan(
    ks: Iterable[int],
    metrics: str | Iterable[str],
    cold_users: str,
    cold_items: str,
    segments: bool,
) -> Plan:
    """Return checked arguments of `evaluate`."""
    return Plan(
        _check_ks(ks),
        check_metrics(metrics),
        check_choice("cold_users", cold_users, COLD),
        check_choice("cold_items", cold_items, COLD),
        check_bool("segments", segments),
    )


def align(
    models: Sequence[Any],
    test: Matrix,
    exclude: Matrix | Sequence[Matrix] | None,
    train: Matrix | None,
    *,
    stacklevel: int,
) -> Data:
    """Return the matrices, checked: they must be of the users and items of all models.

    ``stacklevel`` is that of warnings: 2 points at the caller.
    """
    left_out = list(exclude) if isinstance(exclude, list | tuple) else [exclude]
    for model in models:
        if not callable(getattr(model, "recommend", None)):
            raise TypeError(f"model must have a method recommend(users, n, exclude), got {model!r}")
    user_ids, item_ids = _space(models, [test, train, *left_out])
    space = (np.arange(len(user_ids)), user_ids, item_ids)
    relevant = interaction_rows("test", test, *space, stacklevel=stacklevel + 1)
    mask = sp.csr_array(relevant.shape, dtype=np.float32)
    for matrix in left_out:
        if matrix is not None:
            mask = mask + interaction_rows("exclude", matrix, *space, stacklevel=stacklevel + 1)
    likes = mask if any(matrix is not None for matrix in left_out) else None
    if train is not None:
        likes = interaction_rows("train", train, *space, stacklevel=stacklevel + 1)
    for matrix in (relevant, mask, likes):
        if matrix is not None:
            matrix.data = np.ones_like(matrix.data)  # only the positions of the entries matter
    overlap = relevant.multiply(mask).nnz
    if overlap:
        warnings.warn(
            f"{overlap} test items are also excluded and count as missed", stacklevel=stacklevel
        )
    if relevant.nnz == 0:
        raise DataError("test has no interactions: there is nothing to evaluate")
    user_counts = item_counts = None
    if likes is not None:
        user_counts = np.diff(likes.indptr).astype(np.int64)
        item_counts = np.bincount(likes.indices, minlength=likes.shape[1])
    return Data(relevant, mask, likes, user_counts, item_counts)


def measure_plan(
    model: Any, data: Data, plan: Plan, progress: bool | Progress = False
) -> Evaluation:
    """Rank the items for the users, and measure what the plan says."""
    known = data.known(model)
    check_known(plan.metrics, known)
    by_user: dict[str, np.ndarray] = {}
    by_item: dict[str, np.ndarray] = {}
    if plan.segments:
        if data.user_counts is None or data.item_counts is None:
            raise ValueError("segments=True needs the likes of training: give train=")
        # Users without likes that were left out are in no segment.
        by_user = user_segments(data.user_counts)
        by_item = item_segments(data.item_counts)
    rank, places = _ways_to_rank(model, data)
    with _Reporting(progress) as report:
        found = measure_rankings(
            rank,
            data.relevant,
            plan.ks,
            plan.metrics,
            known=known,
            places=places,
            item_segments=by_item,
            progress=report,
        )
    segments = {
        name: found.subset(members[found.users])
        for name, members in by_user.items()
        if members[found.users].any()
    }
    return replace(found, segments={**segments, **found.segments}, cold=data.cold)


def _space(models: Sequence[Any], matrices: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the users and items: those of a model, or of Interactions, or numbers."""
    found = []
    for what, axis in (("user_ids", 0), ("item_ids", 1)):
        known = [getattr(model, what) for model in models if getattr(model, what, None) is not None]
        named = [getattr(matrix, what) for matrix in matrices if isinstance(matrix, Interactions)]
        if known or named:
            ids = (known or named)[0]
        else:
            shape = getattr(matrices[0], "shape", (0, 0))  # what is no matrix is refused later
            ids = np.arange(shape[axis] if len(shape) == 2 else 0, dtype=np.int64)
        for other in known[1:]:
            if not np.array_equal(other, ids):
                raise DataError(f"the models must have the same {what}, row by row")
        found.append(ids)
    return found[0], found[1]


def _ways_to_rank(model: Any, data: Data) -> tuple[Rank, Places]:
    """Return functions that rank the first items, and that find the places of the test items."""
    relevant, exclude = data.relevant, data.exclude
    n_items = relevant.shape[1]

    def n_ranked(users: np.ndarray) -> np.ndarray:
        counts: np.ndarray = n_items - np.diff(exclude.indptr)[users].astype(np.int64)
        return counts

    def rank(users: np.ndarray, n: int) -> np.ndarray:
        if isinstance(model, Model):
            return model._ranked(users, n, exclude[users])
        return _check_ranking(model, model.recommend(users, n, exclude), n, exclude[users])

    def places(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(model, Model):
            return places_in_rankings(users), n_ranked(users)
        vectors = model.user_vectors[users], model.item_vectors
        before = exact_places(*vectors, relevant[users], exclude[users])
        cold = model._is_cold(users)
        if cold.any():  # the most popular items are first, not the nearest
            pairs = np.repeat(cold, np.diff(relevant.indptr)[users])
            before[pairs] = places_in_rankings(users[cold])
        return before, n_ranked(users)

    def places_in_rankings(users: np.ndarray) -> np.ndarray:
        before = []
        step = max(1, FULL_ENTRIES // n_items)
        for start in range(0, len(users), step):
            some = users[start : start + step]
            before.append(_places_in(rank(some, n_items), relevant[some], n_ranked(some)))
        return np.concatenate(before)

    return rank, places


def _places_in(ranked: np.ndarray, wanted: sp.csr_array, n_ranked: np.ndarray) -> np.ndarray:
    """Return the place of each wanted item in full rankings, (nnz,), from 0.

    If a ranking has all ``n_ranked`` items that are not excluded, an item missing in it is excluded
    and has the place after all others; otherwise all that are missing share the places after it.
    """
    m, n_items = wanted.shape
    there = ranked >= 0
    length = there.sum(axis=1)
    place = np.full((m, n_items), -1.0)
    rows, ranks = np.nonzero(there)
    place[rows, ranked[there]] = ranks
    owners = np.repeat(np.arange(m), np.diff(wanted.indptr))
    found = place[owners, wanted.indices]
    missing = np.where(length == n_ranked, n_ranked, length + (n_ranked - length - 1) / 2)
    before: np.ndarray = np.where(found < 0, missing[owners], found)
    return before


def _check_ranking(model: Any, found: Any, n: int, exclude: sp.csr_array) -> np.ndarray:
    """Return the rows that a recommender recommends, or raise ValueError."""
    name = f"{type(model).__name__}.recommend"
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(f"{name} must return a tuple (rows, scores), got {type(found).__name__}")
    rows, (m, n_items) = np.asarray(found[0]), exclude.shape
    if rows.shape != (m, n) or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must return integers of shape {(m, n)}, got {rows.dtype} of shape {rows.shape}"
        )
    rows = rows.astype(np.int64, copy=False)
    if rows.min() < -1 or rows.max() >= n_items:
        raise ValueError(
            f"{name} must return row numbers of items in [0, {n_items}), or -1 where there are no "
            f"more, got numbers from {rows.min()} to {rows.max()}"
        )
    ordered = np.sort(rows, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError(f"{name} must return distinct items, got one twice for a user")
    if stored(rows, exclude).any():
        raise ValueError(f"{name} must leave out the items of exclude, got some of them")
    return rows


class _Reporting:
    """The progress that was asked for: a bar, a function, or none."""

    def __init__(self, progress: bool | Progress) -> None:
        if not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f"progress must be True, False or a function, got {progress!r}")
        self._progress = progress
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None] | None:
        if not isinstance(self._progress, bool):
            return self._progress
        return self._show if self._progress else None

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="user", desc="evaluating")
        self._bar.update(done - self._bar.n)


def _check_ks(ks: Iterable[int]) -> list[int]:
    """Return distinct lengths in ascending order."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise TypeError(f"ks must be a sequence of integers such as (10, 50), got {ks!r}")
    lengths = sorted({check_int("ks", k, 1) for k in ks})
    if not lengths:
        raise ValueError("ks must have at least one length, got none")
    return lengths
