"""The training loop.

Epochs of kernel launches, each followed by validation, callbacks and, when due, a checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from tqdm import tqdm

from .._compute.devices import device_kept
from .._compute.kernels import launch_granularity
from .._compute.settings import Settings
from .._threads import blas_threads
from ..errors import ModelError, TrainingDiverged
from ..metrics import measure
from .checkpoint import Checkpoint
from .reports import EpochReport
from .scheduled import ScheduledJob
from .state import Best, TrainingState

# A launch lasts about this long, so that Ctrl-C and the progress bar are served between launches.
SECONDS_PER_LAUNCH = 0.3
# But it has at least what each CPU thread takes at a time (kGrain in csrc/cpu/train.cpp).
PAIRS_PER_THREAD = 512
# Validation measures the recall among so many items.
VALIDATION_K = 50

# Of users and items, (n_users, r) and (n_items, r), float32.
Vectors = tuple[np.ndarray, np.ndarray]


@dataclass
class Training:
    """A training: what it works with, and when it ends. Everything that changes is in ``state``."""

    job: ScheduledJob  # trains state.tables
    state: TrainingState
    settings: Settings
    validation: sp.csr_array | None
    known: sp.csr_array | None  # the likes of its users, at least
    n_epochs: int
    patience: int | None
    callbacks: list[Callable[[EpochReport], bool | None]]
    publish: Callable[[], Vectors]  # makes the model of the trainer, and returns its vectors
    checkpoint: Checkpoint | None
    verbose: bool
    _has_warned: bool = False  # that a checkpoint could not be written

    def is_over(self) -> bool:
        state = self.state
        best = state.best
        return (
            state.stopped
            or state.epoch >= state.first_epoch + self.n_epochs
            or (
                best is not None
                and self.patience is not None
                and state.epoch - 1 - best.epoch >= self.patience
            )
        )

    def run(self) -> None:
        """Train to the end. Also after an exception ``state`` holds what has been trained."""
        if self.is_over():
            return
        state, size = self.state, self.state.n_pairs
        bar = tqdm(
            total=self.n_epochs * size,
            initial=state.position - state.first_epoch * size,
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
                    state,
                    self.settings.n_threads,
                    bar.update,
                    until=due,
                    granularity=launch_granularity(self.settings),
                )
                if state.counters.pairs == size:
                    self._end_epoch(bar)
                    if self.is_over():
                        break
                if state.position >= due:
                    self._save()
                    due = self._next_checkpoint()
            self._save()
        except KeyboardInterrupt:
            # Resuming should continue from here. Not so after TrainingDiverged: the last checkpoint
            # is better than the present state.
            self._save()
            raise
        finally:
            bar.close()

    def _end_epoch(self, bar: Any) -> None:
        state = self.state
        report = state.counters.report(state.epoch, self.settings.n_negatives)
        with uninterrupted():
            state.average(self.settings.ema_decay)
        best = state.best
        if self.validation is not None or self.callbacks:
            vectors = self.publish()
        if self.validation is not None:
            recall = measure(
                *vectors,
                self.validation,
                self.known,
                [VALIDATION_K],
                n_threads=self.settings.n_threads,
            ).recall[VALIDATION_K]
            report = replace(report, recall=recall)
            if best is None or recall > best.recall:
                networks = {entity: f.copy() for entity, f in state.networks.items()}
                averages = state.averages and state.averages.copy()
                best = Best(report.epoch, recall, state.tables.copy(), networks, averages)
        with uninterrupted():
            state.end_epoch(report, best)
        bar.set_postfix_str(str(report))
        # A list first, because any() would not call the callbacks after the first true answer.
        with device_kept(state.tables.device):
            stops = [callback(report) for callback in self.callbacks]
        state.stopped = any(stops)

    def _next_checkpoint(self) -> float:
        return math.inf if self.checkpoint is None else self.checkpoint.next_after(self.state)

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        try:
            self.checkpoint.write(self.state, finished=self.is_over())
            self._has_warned = False
        except (OSError, ModelError) as error:
            if not self._has_warned:  # once for a disk that stays full
                self._has_warned = True
                warnings.warn(
                    f"a checkpoint could not be written, training goes on without: {error}",
                    stacklevel=5,
                )


def run_epoch(
    job: ScheduledJob,
    state: TrainingState,
    n_threads: int,
    on_launch: Callable[[int], Any],
    *,
    until: float = math.inf,
    granularity: int = 1,
) -> None:
    """Train the current epoch, to its end or to the sample ``until``.

    Launches end at multiples of ``granularity`` samples from the start of the epoch, or at its end;
    ``until`` is rounded up to such a multiple. After each launch ``state`` is brought up to date,
    then ``on_launch`` is called with the number of pairs of the launch.

    Raises
    ------
    TrainingDiverged
        If an update was not finite. The kernel has not made it.
    """
    start = state.epoch * state.n_pairs
    size = int(min(until - start, state.n_pairs))
    step = least = PAIRS_PER_THREAD * n_threads
    while (done := state.position - start) < size:
        end = min(-(-min(done + step, size) // granularity) * granularity, state.n_pairs)
        launched = time.perf_counter()
        with uninterrupted(), blas_threads(n_threads):
            counters = job.run(start + done, start + end)
            if counters.first_non_finite is not None:
                raise TrainingDiverged(
                    f"epoch {state.epoch}: an update was not finite and was refused; training "
                    "stopped with the tables as they were. Lower learning_rate"
                )
            seconds = time.perf_counter() - launched
            state.advance(start + end, state.counters.plus(counters, seconds))
        step = max(least, int(counters.pairs / max(seconds, 1e-9) * SECONDS_PER_LAUNCH))
        on_launch(counters.pairs)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM to the end of the block: related changes are made together.

    If the block raises an exception, that ends the training anyway, and the signal is dropped.
    """
    # Nothing to wait for if a signal is ignored, deadly, or not handled in Python.
    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))
    }
    if threading.current_thread() is not threading.main_thread():
        handlers = {}  # only the main thread handles signals
    pending: list[tuple[Any, Any]] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: pending.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if pending:
        number, frame = pending[-1]
        handlers[number](number, frame)
