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
from cml_fast._training.reports import Counters

__all__ = [
    "InFlightTrainer",
    "Settings",
    "TrainingJob",
    "settings_of",
    "shares_negatives",
    "trained_tables",
]

# What the softmax would choose by short trainings, which would be part of the time.
FIXED = {"temperature": 0.21, "user_retention": 1.0}
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


class InFlightTrainer(Trainer):
    """A trainer with asynchronous updates of which ``in_flight`` always collide.

    So many pairs (or as many tiles as they fill) are trained from the same values, each as if it
    were alone, and then what they changed is added up: what workers of a GPU would do if all read
    their rows at the same moment and wrote them at the same moment. Needs row-wise AdaGrad.
    """

    in_flight = 1024

    def _make_job(self, inputs: Any, state: Any) -> Any:
        scheduled = super()._make_job(inputs, state)
        settings = inputs.settings
        unit = settings.tile_size if shares_negatives(settings.loss) else 1
        scheduled.job = _InFlightJob(
            scheduled.job, state.tables, settings.max_norm, state.n_pairs, unit, self.in_flight
        )
        return scheduled


class _InFlightJob:
    def __init__(
        self, job: Any, tables: Tables, max_norm: float, n_pairs: int, unit: int, in_flight: int
    ) -> None:
        self._job, self._max_norm, self._n_pairs, self._unit = job, max_norm, n_pairs, unit
        arrays = tables.arrays
        self._tables = [
            _InFlightTable(arrays[f"{side}s"], arrays[f"{side}_accumulators"])
            for side in ("user", "item")
        ]
        self._of_round = max(1, in_flight // unit)
        self._units = 0  # of this round so far

    @property
    def learning_rate(self) -> float:
        return float(self._job.learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._job.learning_rate = rate

    def run(self, begin: int, end: int) -> Counters:
        total = Counters()
        for first in range(begin, end, self._unit):
            last = min(first + self._unit, end)
            if self._units == 0:
                for table in self._tables:
                    table.begin_round()
            total = total.plus(self._job.run(first, last))
            self._units += 1
            for table in self._tables:
                table.put_aside()
            if self._units == self._of_round or last % self._n_pairs == 0:
                self._units = 0
                for table in self._tables:
                    table.end_round(self._max_norm)
        return total


class _InFlightTable:
    """Rows and their accumulators, one for each row, which change wherever the row does."""

    def __init__(self, rows: np.ndarray, accumulators: np.ndarray) -> None:
        self._arrays = rows, accumulators

    def begin_round(self) -> None:
        self._before = [array.copy() for array in self._arrays]
        self._changes = [np.zeros_like(array) for array in self._arrays]

    def put_aside(self) -> None:
        """Take back what was changed, and note it."""
        changed = np.flatnonzero(self._arrays[1][:, 0] != self._before[1][:, 0])
        for now, before, change in zip(self._arrays, self._before, self._changes, strict=True):
            change[changed] += now[changed] - before[changed]
            now[changed] = before[changed]

    def end_round(self, max_norm: float) -> None:
        for now, change in zip(self._arrays, self._changes, strict=True):
            now += change
        rows = self._arrays[0]
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        np.multiply(rows, max_norm / norms, out=rows, where=norms > max_norm)
