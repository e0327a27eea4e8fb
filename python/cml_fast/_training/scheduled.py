"""Work of another kind between the launches of the kernels, and when it is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Work(Protocol):
    """Done after every ``interval`` visits, counted from the start of an epoch."""

    interval: int

    def step(self, epoch: int, number: int) -> bool:
        """The step so numbered of an epoch, from 0; whether all of it was finite."""


@dataclass
class Launch:
    """Sums of what launches report, see _core.Counters, and the seconds of the work between."""

    pairs: int = 0
    active: int = 0
    impostors: int = 0
    skipped: int = 0
    loss: float = 0.0
    first_non_finite: int | None = None
    seconds_between: float = 0.0

    def add(self, counters: Any) -> None:
        for name in ("pairs", "active", "impostors", "skipped", "loss"):
            setattr(self, name, getattr(self, name) + getattr(counters, name))
        self.first_non_finite = counters.first_non_finite


class Interleaved:
    """A job with work between its launches. However visits are split into calls of `run`, the
    work is done after the same visits.

    Parameters
    ----------
    job : _core.Job
    n_pairs : int
        Visits of an epoch.
    unit : int
        A launch ends at a multiple of this, so intervals are rounded up to one.
    works : sequence of Work
    """

    def __init__(self, job: Any, n_pairs: int, unit: int, works: Sequence[Work]) -> None:
        self.job = job
        self._n_pairs = n_pairs
        # An interval longer than an epoch is an epoch.
        self._works = [(work, min(-(-work.interval // unit) * unit, n_pairs)) for work in works]

    def run(self, begin: int, end: int) -> Launch:
        """Train the visits [begin, end), and do the work that is due after them."""
        total = Launch()
        while begin < end and total.first_non_finite is None:
            epoch = begin // self._n_pairs
            start = epoch * self._n_pairs
            due = [
                start + ((begin - start) // interval + 1) * interval for _, interval in self._works
            ]
            stop = min([end, start + self._n_pairs, *due])
            total.add(self.job.run(begin, stop))
            if total.first_non_finite is None:
                launched = time.perf_counter()
                for work, interval in self._works:
                    number, rest = divmod(stop - start, interval)
                    if rest == 0 and not work.step(epoch, number - 1):
                        total.first_non_finite = stop - 1
                total.seconds_between += time.perf_counter() - launched
            begin = stop
        return total
