"""The kernels of cml_fast without the Python code around them.

The only module of the benchmarks that imports private parts of the package: timing the kernels
alone takes the calls that `Trainer.fit` makes, and no public function makes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._compute.kernels import launch_granularity, make_job
from cml_fast._compute.losses import shares_negatives
from cml_fast._compute.settings import Settings
from cml_fast._compute.tables import Tables
from cml_fast._training.hyperparameters import check_settings

__all__ = ["Settings", "TrainingJob", "settings_of", "shares_negatives", "trained_tables"]

# Short trainings, which choose these, and a popularity bias would be part of the time.
FIXED = {"temperature": 0.21, "user_retention": 1.0, "popularity_weight": 0.0}
MAX_NORM = 1.0


def random_tables(device: str, shape: tuple[int, int], n_dims: int, rowwise: bool) -> Tables:
    """Random vectors, and AdaGrad accumulators (one a row, or one an element)."""
    generator = np.random.default_rng(0)
    return Tables.random(device, shape, n_dims, MAX_NORM, generator, rowwise=rowwise)


def settings_of(shape: tuple[int, int], n_pairs: int, **arguments: Any) -> Settings:
    """What ``Trainer`` with these arguments makes of likes of this size."""
    if arguments.get("loss", "softmax") == "softmax":
        arguments = {**FIXED, **arguments}
    checked: Settings = check_settings(Trainer(**arguments).get_params(), shape, n_pairs)
    return checked


class TrainingJob:
    """Likes, vectors and the kernels that train them."""

    def __init__(
        self,
        likes: sp.csr_array,
        device: str,
        *,
        make_tables: Callable[[str, tuple[int, int], int, bool], Tables] = random_tables,
        tile_size: int | None = None,
        **arguments: Any,
    ) -> None:
        """``arguments`` are those of Trainer; so many pairs as ``tile_size`` share negatives."""
        settings = settings_of(likes.shape, likes.nnz, **arguments)
        if tile_size is not None:
            settings = replace(settings, tile_size=tile_size)
        self.settings = settings
        tables = make_tables(device, likes.shape, settings.n_dims, settings.rowwise)
        self._job = make_job(tables, likes, settings)

    @property
    def launch_granularity(self) -> int:
        """A launch may end after a multiple of so many pairs, or at the end of an epoch."""
        return int(launch_granularity(self.settings))

    def run(self, begin: int, end: int) -> Any:
        """Train the pairs from ``begin`` to ``end``, counted over all epochs; returns counters."""
        counters = self._job.run(begin, end)
        if counters.first_non_finite is not None:
            raise RuntimeError(f"a value was not finite at pair {counters.first_non_finite}")
        return counters


def trained_tables(trainer: Trainer) -> dict[str, np.ndarray]:
    """Vectors and accumulators of a trainer after fit."""
    return trainer._state.tables.to_numpy()
