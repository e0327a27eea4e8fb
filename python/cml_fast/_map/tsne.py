"""t-SNE by openTSNE, with the exact nearest neighbours."""

from __future__ import annotations

import numpy as np

from .._threads import thread_count
from .pca import principal_plane
from .projection import Placed, Projection
from .space import Space

# What Kobak and Berens recommend ("The art of using t-SNE for single-cell transcriptomics", 2019):
# begin with PCA, an early exaggeration, and a learning rate that grows with the number of points.
_START = 1e-4  # the standard deviation of the first axis at the beginning
_EARLY_STEPS, _STEPS = 250, 500
_EARLY_EXAGGERATION = 12
# A perplexity counts neighbours, and three times as many have to be found. Fewer keep the time and
# memory that hundreds of thousands of points take within reach.
_PERPLEXITY, _NEIGHBOURS_PER_PERPLEXITY = 30, 3
_LARGE, _LARGE_PERPLEXITY = 100_000, 10


def perplexity_for(n: int) -> float:
    """Return the perplexity for n points: a third of them at most, as the method needs."""
    wanted = _LARGE_PERPLEXITY if n >= _LARGE else _PERPLEXITY
    return min(wanted, (n - 1) / _NEIGHBOURS_PER_PERPLEXITY)


def _place(space: Space, seed: int) -> Placed:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    n = len(space)
    perplexity = perplexity_for(n)
    rows, distances = space.neighbours(int(_NEIGHBOURS_PER_PERPLEXITY * perplexity))
    # Threads wait for each other many times a step. Among fewer points that takes longer than the
    # work, above all where other programs have the cores.
    n_jobs = thread_count(space.n_threads) if n >= _LARGE else 1
    affinities = PerplexityBasedNN(
        perplexity=perplexity,
        knn_index=PrecomputedNeighbors(rows, distances.astype(np.float64)),
        n_jobs=n_jobs,
        random_state=seed,
    )
    start, _ = principal_plane(space.vectors)
    start *= _START / max(start[:, 0].std(), np.finfo(float).tiny)
    # Points at the same place would never part.
    start += np.random.default_rng(seed).normal(0, _START / 100, start.shape)
    embedding = TSNEEmbedding(start, affinities, n_jobs=n_jobs, random_state=seed)
    embedding.optimize(
        _EARLY_STEPS, inplace=True, exaggeration=_EARLY_EXAGGERATION, learning_rate="auto"
    )
    embedding.optimize(_STEPS, inplace=True, exaggeration=1, learning_rate="auto")
    settings = {"perplexity": round(perplexity, 1), "early exaggeration": _EARLY_EXAGGERATION}
    return Placed(np.array(embedding), settings)


TSNE = Projection("tsne", "t-SNE", _place, "openTSNE", "cml-fast[map]")
