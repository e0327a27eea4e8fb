"""What is known of users or items besides who liked what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Features:
    """Features of objects, which are users or items: tags, genres, words.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, (n_objects, n_features), float32
        The weight of each feature of each object; sorted, without duplicates or zeros.
    ids : numpy.ndarray, (n_objects,), int64 or str, or None
        The external id of each row, None where neither the file nor the caller has any.
    names : numpy.ndarray, (n_features,), int64 or str
        The name of each column.
    """

    matrix: sp.csr_array
    ids: np.ndarray | None
    names: np.ndarray
