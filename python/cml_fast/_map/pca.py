"""The plane of largest variance: PCA."""

from __future__ import annotations

import numpy as np

from .projection import Placed, Projection
from .space import Space


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates on the first two principal axes, (n, 2), float64, and their variances.

    Axes come with either sign; the one that is chosen here is the same everywhere.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    plane = axes[:, :-3:-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    points = np.zeros((len(vectors), 2))  # the second axis stays 0 where there is one dimension
    points[:, : plane.shape[1]] = centred @ plane
    return points, variances[::-1]


def _place(space: Space, seed: int) -> Placed:
    points, variances = principal_plane(space.vectors)
    shares = variances / max(variances.sum(), np.finfo(float).tiny)
    return Placed(points, {"variance shown": round(float(shares[:2].sum()), 3)})


PCA = Projection("pca", "PCA", _place, least=1)
