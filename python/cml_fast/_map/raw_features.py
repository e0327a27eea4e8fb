"""The space of the raw features of items, to be shown beside the learned one."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..data._ids import IdIndex
from ..data.features import Features, check_features
from .tags import aligned

# Features are as many as words; so many dimensions keep what most items share.
_DIMS = 50


def feature_vectors(features: Any, items: IdIndex, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of the items that have features, and their rows.

    The features of an item have length 1, so that distances compare what they are and not how many
    there are. Of many features, the directions of most variance are kept.

    Returns
    -------
    vectors : numpy.ndarray, (m, r), float32
    rows : numpy.ndarray, (m,), int64
    """
    if isinstance(features, Features):
        features = aligned(features, items, "features")
    matrix = sp.csr_array(check_features("features", features, len(items.array), None))
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    rows = np.flatnonzero(lengths)
    matrix = sp.csr_array(sp.diags_array(1 / lengths[rows]) @ matrix[rows]).astype(np.float32)
    if min(matrix.shape) <= _DIMS + 1:
        return matrix.toarray(), rows
    from scipy.sparse.linalg import svds  # only now: it is slow to load

    start = np.random.default_rng(seed).normal(size=min(matrix.shape))
    _, _, axes = svds(matrix.astype(np.float64), k=_DIMS, v0=start)
    return np.ascontiguousarray(matrix @ axes.T.astype(np.float32)), rows
