"""The most popular items that are not excluded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp


def most_popular(counts: np.ndarray, n: int, exclude: sp.csr_array) -> np.ndarray:
    """Return the n items with the most likes for each row of ``exclude``.

    Parameters
    ----------
    counts : numpy.ndarray, (n_items,)
        Likes of each item.
    n : int
        At least 1; may exceed n_items.
    exclude : scipy.sparse.csr_array, (m, n_items)
        Its stored entries are items that a row may not have.

    Returns
    -------
    numpy.ndarray, (m, n), int64
        Row numbers of items, most popular first, equally popular ones by row number; -1 where
        there are no more.
    """
    order = np.argsort(-counts, kind="stable")
    return first_of_order(np.broadcast_to(order, exclude.shape), n, exclude)


def first_of_order(orders: Iterable[np.ndarray], n: int, exclude: sp.csr_array) -> np.ndarray:
    """Return the first n items of an order for each row of ``exclude``, without what that stores.

    An order may end after n items and as many more as its row excludes.
    """
    m, n_items = exclude.shape
    found = np.full((m, n), -1, dtype=np.int64)
    allowed = np.ones(n_items, dtype=bool)
    for row, order in enumerate(orders):
        left_out = exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]]
        allowed[left_out] = False
        # Among so many, at least n are allowed if there are n at all.
        begin = order[: n + len(left_out)]
        items = begin[allowed[begin]][:n]
        allowed[left_out] = True
        found[row, : len(items)] = items
    return found
