"""One epoch: launches over the visits of the pairs."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from ._interleaved import Interleaved
from ._progress import Progress
from .errors import TrainingDiverged

# A launch lasts about this long, so that Ctrl-C and the progress bar are served between launches.
SECONDS_PER_LAUNCH = 0.3
# But it has at least what each CPU thread takes at a time (kGrain in csrc/cpu/train.cpp).
PAIRS_PER_THREAD = 512


def run_epoch(
    job: Interleaved,
    progress: Progress,
    n_threads: int,
    told: Callable[[int], Any],
    *,
    until: float = math.inf,
    granularity: int = 1,
) -> None:
    """Go on with the epoch under way, to its end or to the visit ``until``.

    Launches, and so this function, end at multiples of ``granularity`` visits from the start of
    the epoch, or at its end; ``until`` is rounded up to one. ``told`` is given the number of pairs
    of each launch, and ``progress`` is up to date then.

    Raises TrainingDiverged after an update that was not finite. The kernel refused it.
    """
    start = progress.epoch * progress.n_pairs
    size = int(min(until - start, progress.n_pairs))
    step = least = PAIRS_PER_THREAD * n_threads
    while (done := progress.position - start) < size:
        end = min(-(-min(done + step, size) // granularity) * granularity, progress.n_pairs)
        launched = time.perf_counter()
        with uninterrupted():
            counters = job.run(start + done, start + end)
            if counters.first_non_finite is not None:
                raise TrainingDiverged(
                    f"epoch {progress.epoch}: an update was not finite and was refused; training "
                    "stopped with the tables as they were. Lower learning_rate, or the weights of "
                    "train"
                )
            seconds = time.perf_counter() - launched
            progress.advance(start + end, progress.counts.plus(counters, seconds))
        step = max(least, int(counters.pairs / max(seconds, 1e-9) * SECONDS_PER_LAUNCH))
        told(counters.pairs)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: what belongs together changes together.

    If the block raises an exception, that is the end of the training anyway, and Ctrl-C is
    forgotten.
    """
    handler = signal.getsignal(signal.SIGINT)
    came: list[tuple[Any, Any]] = []
    try:
        # Nothing to wait for if the signal is ignored, deadly, or not handled in Python.
        deferred = callable(handler)
        if deferred:
            signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    except ValueError:
        deferred = False  # only the main thread handles signals
    try:
        yield
    finally:
        if deferred:
            signal.signal(signal.SIGINT, handler)
    if came and callable(handler):
        handler(*came[-1])
