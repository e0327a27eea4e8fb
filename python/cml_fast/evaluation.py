"""Evaluate how well a model, or any other recommender, ranks held-out items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from ._evaluation.held_out import Matrix, align
from ._evaluation.plan import check_plan
from ._evaluation.run import measure_plan
from .metrics.measuring import Progress
from .metrics.registry import DEFAULT_METRICS
from .metrics.result import Evaluation


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
    n_threads: int | None = None,
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
    n_threads : int or None
        CPU threads, those of BLAS included; None uses all cores that this process may use. The
        result does not depend on it.

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
    return measure_plan(model, data.without_cold(plan), plan, progress, n_threads)
