"""Exponential moving averages of the vectors over epochs.

The vectors at the end of an epoch depend on the last pairs and negatives that happened to be drawn.
Their average over epochs is less noisy, and lies in the same ball (Polyak and Juditsky,
"Acceleration of stochastic approximation by averaging", 1992).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._compute.array_api import namespace_on, to_numpy
from .._compute.tables import Tables

ENTITIES = ("users", "items")
# Rows that are averaged at a time on a CPU, in the cache of a core.
CACHED_ROWS = 1024


class MovingAverages:
    """Exponential moving averages of users and items, on the device of what is averaged.

    Attributes
    ----------
    arrays : dict of str to array
        "users" and "items", or one of them, (rows, n_dims) float32.
    first, last : int
        The first and the last epoch that are averaged.
    weights : dict of str to numpy.ndarray, or None
        The sums of the weights of these epochs, where that of the last one is 1: of "users" and
        "items", (rows,) float64. None: as the numbers of the epochs say, the same for all rows.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        first: int,
        last: int,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.arrays = dict(arrays)
        self.first = first
        self.last = last
        self.weights = None if weights is None else dict(weights)

    @classmethod
    def of(cls, vectors: Mapping[str, Any], epoch: int) -> MovingAverages:
        """Start with the vectors of one epoch."""
        return cls({entity: array.copy() for entity, array in vectors.items()}, epoch, epoch)

    def include(self, vectors: Mapping[str, Any], epoch: int, decay: float) -> None:
        """Add the vectors of the next epoch; an epoch that is included already changes nothing.

        The weight of an epoch is ``decay`` times that of the next one, and all weights add up to 1.
        """
        if epoch == self.last:
            return
        self.last = epoch
        for entity, array in self.arrays.items():
            if self.weights is None:
                share = np.float32((1 - decay) / (1 - decay ** (epoch - self.first + 1)))
            else:
                self.weights[entity] = 1 + decay * self.weights[entity]
                of_rows = (1 / self.weights[entity]).astype(np.float32)[:, None]
                share = namespace_on(_device_of(array)).asarray(of_rows)
            _approach(array, vectors[entity], share)

    def weights_of(self, entity: str, decay: float) -> np.ndarray:
        """``weights`` of "users" or "items", also where they are None."""
        if self.weights is not None:
            return self.weights[entity]
        weight = (1 - decay ** (self.last - self.first + 1)) / (1 - decay)
        return np.full(len(self.arrays[entity]), weight)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As NumPy arrays (copies)."""
        return {entity: np.array(to_numpy(array)) for entity, array in self.arrays.items()}

    def copy(self) -> MovingAverages:
        return copy.deepcopy(self)

    def on(self, device: str) -> MovingAverages:
        xp = namespace_on(device)
        return MovingAverages(
            {entity: xp.asarray(array) for entity, array in self.to_arrays().items()},
            self.first,
            self.last,
            self.weights,
        )


def _approach(averages: Any, vectors: Any, share: Any) -> None:
    """Move the averages by a share, or one for each row, of their way to the vectors."""
    n_rows = CACHED_ROWS if _device_of(averages) == "cpu" else len(averages)
    for begin in range(0, len(averages), n_rows):
        rows = slice(begin, begin + n_rows)
        of_rows = share[rows] if share.ndim else share
        averages[rows] += of_rows * (vectors[rows] - averages[rows])


def _device_of(array: Any) -> str:
    return "cuda" if hasattr(array, "get") else "cpu"  # as `to_numpy` tells them apart


def vectors_of(tables: Tables) -> dict[str, Any]:
    """The vectors of tables, by "users" and "items" (views)."""
    return {entity: tables.arrays[entity][:, : tables.n_dims] for entity in ENTITIES}
