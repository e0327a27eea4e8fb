"""How well a model ranks held-out items."""

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
) -> Evaluation:
    """Rank all items for each user with test items, and measure the k nearest.

    Recall@k is the share of the user's test items among the k nearest items (Hsieh et al., WWW
    2017, section 4.1.2). NDCG@k has binary relevance, discounts 1 / log2(rank + 1), and is
    relative to the best possible ranking, which has min(k, number of test items) hits.

    Parameters
    ----------
    model : Model
    test : scipy.sparse matrix or array, (n_users, n_items), or Interactions
        The held-out items: its non-zero entries, whatever their values.
    exclude : one or a sequence of the same, optional
        Items taken out of a user's ranking: training, validation. A test item that is excluded
        counts as missed, with a warning.
    ks : iterable of int
        Lengths of the rankings, each at least 1; more than n_items are n_items.

    Returns
    -------
    Evaluation
        Of the users with at least one test item.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DataError
        If a matrix is not of the model's shape or has other ids, or ``test`` is empty.
    """
    lengths = _check_ks(ks)
    n_users, n_items = len(model.user_vectors), len(model.item_vectors)
    space = (np.arange(n_users), model.user_ids, model.item_ids)
    targets = interaction_rows("test", test, *space)
    mask = sp.csr_array((n_users, n_items), dtype=np.float32)
    for matrix in exclude if isinstance(exclude, list | tuple) else [exclude]:
        if matrix is not None:
            mask = mask + interaction_rows("exclude", matrix, *space)
    for matrix in (targets, mask):
        matrix.data.fill(1)  # only where they are matters, not their weights
    overlap = targets.multiply(mask).nnz
    if overlap:
        warnings.warn(f"{overlap} test items are also excluded and count as missed", stacklevel=2)
    if targets.nnz == 0:
        raise DataError("test has no interactions: there is nothing to evaluate")
    return measure(model.user_vectors, model.item_vectors, targets, mask, lengths)


def _check_ks(ks: Iterable[int]) -> list[int]:
    """Return distinct lengths in ascending order."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise TypeError(f"ks must be a sequence of integers such as (10, 50), got {ks!r}")
    lengths = sorted({check_int("ks", k, 1) for k in ks})
    if not lengths:
        raise ValueError("ks must have at least one length, got none")
    return lengths
