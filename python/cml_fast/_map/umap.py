"""UMAP by umap-learn."""

from __future__ import annotations

import warnings

from .projection import Placed, Projection
from .space import Space

_NEIGHBOURS = 15


def _place(space: Space, seed: int) -> Placed:
    n_neighbours = min(_NEIGHBOURS, len(space) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the seed costs, of TensorFlow, and of numba
        import umap

        # One job, because only then a seed gives the same map again.
        reducer = umap.UMAP(n_neighbors=n_neighbours, random_state=seed, n_jobs=1)
        return Placed(reducer.fit_transform(space.vectors), {"neighbours": n_neighbours})


UMAP = Projection("umap", "UMAP", _place, "umap", "umap-learn")
