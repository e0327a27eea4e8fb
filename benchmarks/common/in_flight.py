"""A training on the CPU whose asynchronous updates collide as on a GPU that has many in flight."""

from __future__ import annotations

from typing import Any

import numpy as np

from cml_fast import Trainer
from cml_fast._compute.losses import shares_negatives
from cml_fast._compute.tables import Tables
from cml_fast._training.reports import Counters


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
