"""Running means of the vectors over the epochs: less noisy than the vectors themselves.

Each epoch's vectors move a little with the last pairs and negatives that were drawn. Their mean
does so less, and it is a point of the same space and of the same ball (Polyak and Juditsky,
"Acceleration of stochastic approximation by averaging", 1992).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._compute.array_api import namespace_on, to_numpy
from .._compute.tables import Tables

SIDES = ("users", "items")


class Averages:
    """Exponential moving averages of users and items, on the device of their tables.

    Attributes
    ----------
    arrays : dict of str to array
        "users" and "items", (rows, n_dims) float32.
    first, last : int
        The epochs that they are means of.
    """

    def __init__(self, arrays: Mapping[str, Any], first: int, last: int) -> None:
        self.arrays = dict(arrays)
        self.first = first
        self.last = last

    @classmethod
    def of(cls, tables: Tables, epoch: int) -> Averages:
        """Those of a single epoch, which has just ended."""
        return cls({side: _vectors(tables, side).copy() for side in SIDES}, epoch, epoch)

    def include(self, tables: Tables, epoch: int, decay: float) -> None:
        """Take in the vectors of the next epoch; nothing is done for one that is there already.

        Each epoch weighs ``decay`` times what the next one does; the weights sum to 1 from the
        first epoch on.
        """
        if epoch == self.last:
            return
        self.last = epoch
        share = np.float32((1 - decay) / (1 - decay ** (epoch - self.first + 1)))
        for side in SIDES:
            self.arrays[side] += share * (_vectors(tables, side) - self.arrays[side])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As NumPy arrays (copies)."""
        return {side: np.array(to_numpy(self.arrays[side])) for side in SIDES}

    def copy(self) -> Averages:
        return copy.deepcopy(self)

    def on(self, device: str) -> Averages:
        xp = namespace_on(device)
        return Averages(
            {side: xp.asarray(array) for side, array in self.to_arrays().items()},
            self.first,
            self.last,
        )


def _vectors(tables: Tables, side: str) -> Any:
    return tables.arrays[side][:, : tables.n_dims]
