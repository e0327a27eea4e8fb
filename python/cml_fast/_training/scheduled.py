"""Steps in Python between the launches of the kernels, and when they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from .reports import Counters


class ScheduledStep(Protocol):
    """A step made after every ``interval`` samples, counted from the start of an epoch."""

    interval: int

    def step(self, epoch: int, number: int) -> bool:
        """Make step ``number`` of an epoch, from 0. Return whether all of it was finite."""


class ScheduledJob:
    """A compiled job with steps between its launches, and a learning rate for each epoch.

    The steps are made after the same samples however these are split into calls of `run`.

    Parameters
    ----------
    job : _core.Job
    n_pairs : int
        Samples of an epoch.
    granularity : int
        Launches end at a multiple of this, so intervals are rounded up to one.
    steps : sequence of ScheduledStep
    learning_rate : function of int
        Returns the learning rate of an epoch, from 0.
    begin_epoch : function without arguments
        Called before the first sample of each epoch but the first.
    """

    def __init__(
        self,
        job: Any,
        n_pairs: int,
        granularity: int,
        steps: Sequence[ScheduledStep],
        learning_rate: Callable[[int], float],
        begin_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        self.job = job
        self._learning_rate = learning_rate
        self._begin_epoch = begin_epoch
        self._n_pairs = n_pairs
        # An interval longer than an epoch is an epoch.
        self._steps = [
            (step, min(-(-step.interval // granularity) * granularity, n_pairs)) for step in steps
        ]

    def run(self, begin: int, end: int) -> Counters:
        """Train the samples [begin, end), and make the steps that are due after them."""
        total = Counters()
        while begin < end and total.first_non_finite is None:
            epoch = begin // self._n_pairs
            start = epoch * self._n_pairs
            if begin == start > 0:
                self._begin_epoch()
            due = [
                start + ((begin - start) // interval + 1) * interval for _, interval in self._steps
            ]
            stop = min([end, start + self._n_pairs, *due])
            self.job.learning_rate = self._learning_rate(epoch)
            total = total.plus(self.job.run(begin, stop))
            if total.first_non_finite is None:
                total = self._make_steps(total, epoch, stop)
            begin = stop
        return total

    def _make_steps(self, total: Counters, epoch: int, position: int) -> Counters:
        """Make the steps that are due at a position, and count their time."""
        begun = time.perf_counter()
        refused = None
        for step, interval in self._steps:
            number, rest = divmod(position - epoch * self._n_pairs, interval)
            if rest == 0 and not step.step(epoch, number - 1):
                refused = position - 1
        between = total.seconds_between + time.perf_counter() - begun
        return replace(total, seconds_between=between, first_non_finite=refused)
