"""PaCMAP by the package of that name."""

from __future__ import annotations

import warnings

from .projection import Placed, Projection
from .space import Space

_NEIGHBOURS = 10


def _place(space: Space, seed: int) -> Placed:
    n_neighbours = min(_NEIGHBOURS, len(space) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the seed, and of numba
        import pacmap

        reducer = pacmap.PaCMAP(n_components=2, n_neighbors=n_neighbours, random_state=seed)
        points = reducer.fit_transform(space.vectors.copy(), init="pca")
    return Placed(points, {"neighbours": n_neighbours})


PACMAP = Projection("pacmap", "PaCMAP", _place, "pacmap", "pacmap")
