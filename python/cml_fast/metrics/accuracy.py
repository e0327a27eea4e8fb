"""Metrics of accuracy, with binary relevance.

Those with the arguments ``hits``, ``n_relevant`` and ``k`` look at the first k items of each
user's ranking; `auc` looks at the whole order of the items.
"""

from __future__ import annotations

import numpy as np


def recall(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of a user's relevant items that are among the first k.

    The denominator is the number of relevant items, as in Hsieh et al., WWW 2017, section 4.1.2,
    and in ``Recall`` of RecTools 0.19 and ``recall`` of ranx 0.3. With more than k relevant items
    it cannot be 1; `recall_capped` can.

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


def recall_capped(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the hits among the first k, divided by the most that there can be.

    That is min(k, n_relevant), as in Liang et al., WWW 2018 (Mult-VAE), section 4.2, and in
    ``Recall`` of LensKit 2025.8. It is 1 if the ranking begins with as many hits as possible.

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
    >>> from cml_fast.metrics import recall_capped
    >>> recall_capped(np.array([[True, False]]), np.array([4]), k=2).tolist()
    [0.5]
    """
    share: np.ndarray = hits.sum(axis=1) / np.minimum(n_relevant, k)
    return share


def precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the share of the first k ranks that have a relevant item.

    A ranking of fewer than k items counts as one of k, as in ``Precision`` of RecTools 0.19 and
    ``precision`` of ranx 0.3.

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
    >>> from cml_fast.metrics import precision
    >>> precision(np.array([[True, False]]), np.array([4]), k=2).tolist()
    [0.5]
    """
    share: np.ndarray = hits.sum(axis=1) / k
    return share


def hit_rate(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return 1 where a relevant item is among the first k, else 0.

    As ``HitRate`` of RecTools 0.19 and ``hit_rate`` of ranx 0.3.

    Parameters
    ----------
    hits, n_relevant, k
        As for `recall`.

    Returns
    -------
    numpy.ndarray, (m,), float64
        0 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.metrics import hit_rate
    >>> hit_rate(np.array([[False, True], [False, False]]), np.array([4, 1]), k=2).tolist()
    [1.0, 0.0]
    """
    found: np.ndarray = np.minimum(hits.sum(axis=1), 1.0)
    return found


def ndcg(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the normalised discounted cumulative gain of the first k items.

    Relevance is binary and the discount of rank 1, 2, ... is 1 / log2(rank + 1). The gain is
    divided by that of the best possible ranking, which begins with min(k, n_relevant) hits. As
    ``ndcg`` of ranx 0.3, ``NDCG(k, divide_by_achievable=True)`` of RecTools 0.19 and
    ``sklearn.metrics.ndcg_score`` of scikit-learn 1.9.

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


def average_precision(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return the average precision of the first k items; its mean over the users is MAP@k.

    The precision at the rank of each hit, summed and divided by the number of relevant items, as
    in ``MAP(k)`` of RecTools 0.19 and ``map`` of ranx 0.3.

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
    >>> from cml_fast.metrics import average_precision
    >>> average_precision(np.array([[True, False, False, True]]), np.array([3]), k=4).tolist()
    [0.5]
    """
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    average: np.ndarray = np.where(hits, precisions, 0).sum(axis=1) / n_relevant
    return average


def reciprocal_rank(hits: np.ndarray, n_relevant: np.ndarray, k: int) -> np.ndarray:
    """Return 1 / the rank of the first hit, 0 without one; its mean over the users is MRR@k.

    As ``MRR`` of RecTools 0.19 and ``mrr`` of ranx 0.3.

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
    >>> from cml_fast.metrics import reciprocal_rank
    >>> reciprocal_rank(np.array([[False, True], [False, False]]), np.array([4, 1]), k=2).tolist()
    [0.5, 0.0]
    """
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0)


def auc(
    before: np.ndarray, owners: np.ndarray, n_relevant: np.ndarray, n_ranked: np.ndarray
) -> np.ndarray:
    """Return the area under the ROC curve: the share of pairs of items in the right order.

    A pair is a relevant and another item of the user's ranking of all items; one at the same
    distance counts half. As ``sklearn.metrics.roc_auc_score`` of scikit-learn 1.9 for each user.

    Parameters
    ----------
    before : numpy.ndarray, (p,), float64
        For each relevant item, how many items are ranked before it, relevant ones included; one at
        the same place counts half. ``n_ranked`` for an item that is not in the ranking, because it
        is excluded: it is after all others.
    owners : numpy.ndarray, (p,), int
        The user of each, in [0, m).
    n_relevant, n_ranked : numpy.ndarray, (m,), int
        Relevant items of each user, at least 1, and all items in the ranking.

    Returns
    -------
    numpy.ndarray, (m,), float64
        In [0, 1]; NaN for a user without other items in the ranking.

    Examples
    --------
    Of four items the second and the third are relevant:

    >>> import numpy as np
    >>> from cml_fast.metrics import auc
    >>> auc(np.array([1.0, 2.0]), np.array([0, 0]), np.array([2]), np.array([4])).tolist()
    [0.5]
    """
    n_found = np.bincount(owners, before < n_ranked[owners], len(n_relevant))
    # Relevant items before relevant ones do not count. Of two that are in the ranking one is before
    # the other, or each by half; all that are in the ranking are before one that is not.
    among_relevant = n_found * (n_found - 1) / 2 + (n_relevant - n_found) * n_found
    wrong = np.bincount(owners, before, len(n_relevant)) - among_relevant
    n_pairs = n_relevant * (n_ranked - n_found)
    share: np.ndarray = 1 - np.divide(
        wrong, n_pairs, where=n_pairs > 0, out=np.full(len(n_pairs), np.nan)
    )
    return share
