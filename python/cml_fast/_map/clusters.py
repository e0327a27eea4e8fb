"""Groups of items that are near to each other in the learned space, by k-means."""

from __future__ import annotations

import warnings

import numpy as np

# As many as colours can be told apart.
N_CLUSTERS = 8
# The centres are found in a sample, and every item then belongs to the nearest one.
_SAMPLE, _STEPS = 20_000, 30


def clusters(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the number of the cluster of each point, (n,), uint8; the largest cluster is 0."""
    from scipy.cluster.vq import kmeans2, vq  # only now: it is slow to load

    n = len(vectors)
    sample = vectors[np.sort(rng.choice(n, min(n, _SAMPLE), replace=False))]
    distinct = len(np.unique(sample, axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster became empty, which does no harm
        centres, _ = kmeans2(sample, min(N_CLUSTERS, distinct), iter=_STEPS, minit="++", rng=rng)
    nearest, _ = vq(vectors, centres[np.isfinite(centres).all(axis=1)])
    sizes = np.bincount(nearest)
    rank = np.empty(len(sizes), dtype=np.uint8)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.asarray(rank[nearest])
