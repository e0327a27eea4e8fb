"""Who liked what, together with the names that users and items have outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Interactions:
    """Implicit feedback with external ids.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, (n_users, n_items), float32
        The weight of each interaction; sorted, without duplicates or zeros.
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,), int64 or str
        The external id of each row and column.
    """

    matrix: sp.csr_array
    user_ids: np.ndarray
    item_ids: np.ndarray
