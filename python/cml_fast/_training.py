"""The training loop: epochs, each followed by validation, callbacks and, when due, a checkpoint."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import scipy.sparse as sp
from tqdm import tqdm

from ._backend import Settings, launch_unit
from ._checkpoint import Checkpoint
from ._epoch import run_epoch, uninterrupted
from ._interleaved import Interleaved
from ._progress import Best, EpochReport, Progress
from .errors import ModelError
from .evaluation import measure
from .model import Model


@dataclass
class Training:
    """What a training works with, and when it ends. All that changes is in ``progress``."""

    job: Interleaved  # trains progress.tables on likes
    progress: Progress
    settings: Settings
    likes: sp.csr_array
    validation: sp.csr_array | None
    n_epochs: int
    patience: int | None
    callbacks: list[Callable[[EpochReport], bool | None]]
    publish: Callable[[], Model]  # makes a model of the tables as they are
    checkpoint: Checkpoint | None
    verbose: bool

    def is_over(self) -> bool:
        progress = self.progress
        best = progress.best
        return (
            progress.stopped
            or progress.epoch >= progress.first_epoch + self.n_epochs
            or (
                best is not None
                and self.patience is not None
                and progress.epoch - 1 - best.epoch >= self.patience
            )
        )

    def run(self) -> None:
        """Train to the end. Whatever is raised, ``progress`` is where training got to."""
        if self.is_over():
            return
        progress, size = self.progress, self.progress.n_pairs
        bar = tqdm(
            total=self.n_epochs * size,
            initial=progress.position - progress.first_epoch * size,
            unit=" pairs",
            unit_scale=True,
            disable=not self.verbose,
            file=sys.stderr,
        )
        due = self._next_checkpoint()
        try:
            while True:
                run_epoch(
                    self.job,
                    progress,
                    self.settings.n_threads,
                    bar.update,
                    until=due,
                    granularity=launch_unit(self.settings),
                )
                if progress.counts.pairs == size:
                    self._end_epoch(bar)
                    if self.is_over():
                        break
                if progress.position >= due:
                    self._save()
                    due = self._next_checkpoint()
            self._save()
        except KeyboardInterrupt:
            # Whoever stops a training wants to go on from here. But not after TrainingDiverged:
            # the last checkpoint is better than this state.
            self._save()
            raise
        finally:
            bar.close()

    def _end_epoch(self, bar: Any) -> None:
        progress = self.progress
        report = progress.counts.report(progress.epoch, self.settings.n_negatives)
        with uninterrupted():
            progress.average(self.settings.averaging)
        best = progress.best
        if self.validation is not None or self.callbacks:
            model = self.publish()
        if self.validation is not None:
            recall = measure(model, self.validation, self.likes, [50]).recall[50]
            report = replace(report, recall=recall)
            if best is None or recall > best.recall:
                networks = {side: f.copy() for side, f in progress.networks.items()}
                averages = progress.averages and progress.averages.copy()
                best = Best(report.epoch, recall, progress.tables.copy(), networks, averages)
        with uninterrupted():
            progress.end_epoch(report, best)
        bar.set_postfix_str(str(report))
        # A list, not any(): every callback is called.
        stops = [callback(report) for callback in self.callbacks]
        progress.stopped = any(stops)

    def _next_checkpoint(self) -> float:
        return math.inf if self.checkpoint is None else self.checkpoint.next_after(self.progress)

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.write(self.progress, finished=self.is_over())
        except (OSError, ModelError) as error:
            warnings.warn(
                f"a checkpoint could not be written, training goes on without: {error}",
                stacklevel=5,
            )
