"""Groups of items that are near to each other in the learned space, by k-means."""

from __future__ import annotations

import warnings

import numpy as np

# As many as colours can be told apart.
N_CLUSTERS = 8
# The centres are found in a sample, and every item then belongs to the nearest one.
_SAMPLE, _STEPS = 20_000, 30
# Of so many points that are drawn, the best becomes the next centre to begin with.
_TRIED = 4


def clusters(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the number of the cluster of each point, (n,), uint8; the largest cluster is 0."""
    from scipy.cluster.vq import kmeans2, vq  # only now: it is slow to load

    n = len(vectors)
    sample = vectors[np.sort(rng.choice(n, min(n, _SAMPLE), replace=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster became empty, which does no harm
        centres, _ = kmeans2(sample, _starts(sample, rng), iter=_STEPS, minit="matrix")
    nearest, _ = vq(vectors, centres[np.isfinite(centres).all(axis=1)])
    sizes = np.bincount(nearest)
    rank = np.empty(len(sizes), dtype=np.uint8)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.asarray(rank[nearest])


def _starts(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the first centres, chosen by k-means++ (Arthur and Vassilvitskii, SODA 2007).

    Each is the best of a few that are drawn. SciPy draws one, and the name of its argument for the
    generator depends on the release.
    """

    def squares(to: np.ndarray) -> np.ndarray:
        return np.asarray(np.square(points - to).sum(axis=1, dtype=np.float64))

    chosen = [points[rng.integers(len(points))]]
    nearest = squares(chosen[0])
    while len(chosen) < N_CLUSTERS and nearest.any():
        drawn = points[rng.choice(len(points), _TRIED, p=nearest / nearest.sum())]
        left = [np.minimum(nearest, squares(point)) for point in drawn]
        best = int(np.argmin([each.sum() for each in left]))
        chosen.append(drawn[best])
        nearest = left[best]
    return np.array(chosen)
