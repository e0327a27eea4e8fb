"""Evaluate how well a model ranks held-out items."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp

from ._validation.scalars import check_int
from .data._alignment import interaction_rows
from .data.interactions import Interactions
from .errors import DataError
from .metrics import Evaluation, measure
from .model import Model


def evaluate(
    model: Model,
    test: sp.sparray | sp.spmatrix | Interactions,
    exclude: sp.sparray
    | sp.spmatrix
    | Interactions
    | Sequence[sp.sparray | sp.spmatrix | Interactions]
    | None = None,
    ks: Iterable[int] = (10, 50, 100),
    *,
    n_threads: int | None = None,
) -> Evaluation:
    """Rank all items for each user that has test items, and measure the k nearest.

    Recall@k is the share of the user's test items that are among the k nearest items (Hsieh et
    al., WWW 2017, section 4.1.2). NDCG@k has binary relevance and the discount 1 / log2(rank + 1),
    and is divided by that of the best possible ranking, which begins with min(k, number of test
    items) hits.

    Parameters
    ----------
    model : Model
    test : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The non-zero entries are the held-out items. Their values do not matter.
    exclude : one or a list or tuple of the same, optional
        Items left out of a user's ranking, usually those of training and validation. A test item
        that is excluded counts as missed, with a warning.
    ks : iterable of int
        Lengths of the rankings, each at least 1. A length above n_items counts as n_items.
    n_threads : int or None
        CPU threads, those of BLAS included; None uses all cores that this process may use. The
        result does not depend on it.

    Returns
    -------
    Evaluation
        Of the users with at least one test item; values of all metrics are in [0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.
    DataError
        If a matrix has another shape or other ids than the model, or ``test`` is empty.

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
         k  recall@k    ndcg@k
         1    0.5000    1.0000
         3    1.0000    0.9197
    """
    ks = _check_ks(ks)
    n_users, n_items = len(model.user_vectors), len(model.item_vectors)
    space = (np.arange(n_users), model.user_ids, model.item_ids)
    relevant_items = interaction_rows("test", test, *space)
    mask = sp.csr_array((n_users, n_items), dtype=np.float32)
    for matrix in exclude if isinstance(exclude, list | tuple) else [exclude]:
        if matrix is not None:
            mask = mask + interaction_rows("exclude", matrix, *space)
    for matrix in (relevant_items, mask):
        matrix.data.fill(1)  # only the positions of the entries matter, not their values
    overlap = relevant_items.multiply(mask).nnz
    if overlap:
        warnings.warn(f"{overlap} test items are also excluded and count as missed", stacklevel=2)
    if relevant_items.nnz == 0:
        raise DataError("test has no interactions: there is nothing to evaluate")
    return measure(
        model.user_vectors, model.item_vectors, relevant_items, mask, ks, n_threads=n_threads
    )


def _check_ks(ks: Iterable[int]) -> list[int]:
    """Return distinct lengths in ascending order."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise TypeError(f"ks must be a sequence of integers such as (10, 50), got {ks!r}")
    lengths = sorted({check_int("ks", k, 1) for k in ks})
    if not lengths:
        raise ValueError("ks must have at least one length, got none")
    return lengths
