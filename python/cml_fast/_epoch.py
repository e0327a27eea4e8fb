"""One epoch: launches over the visits of the pairs, and the report of what they did."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._backend import Settings
from .errors import TrainingDiverged

# A launch lasts about this long, so that Ctrl-C and the progress bar are served between launches.
SECONDS_PER_LAUNCH = 0.3
# But it has at least what each CPU thread takes at a time (kGrain in csrc/cpu/train.cpp).
PAIRS_PER_THREAD = 512


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes
    ----------
    epoch : int
        Counted from 0 over the life of the trainer, ``warm_start`` included.
    loss : float
        Mean weighted hinge of a pair (eq. 1 and 3).
    active_share : float
        Share of pairs with at least one impostor, those that changed the model.
    impostor_share : float
        Share of the drawn negatives that were inside the margin.
    pairs, skipped : int
        Pairs visited, and those among them whose user likes every item.
    seconds : float
        Wall time of the training itself.
    recall : float or None
        Recall@50 on the validation data, if there is any.
    """

    epoch: int
    loss: float
    active_share: float
    impostor_share: float
    pairs: int
    skipped: int
    seconds: float
    recall: float | None = None

    def __str__(self) -> str:
        text = f"epoch {self.epoch}, loss {self.loss:.3f}, active {self.active_share:.0%}"
        return text if self.recall is None else f"{text}, recall@50 {self.recall:.4f}"


def run_epoch(
    job: Any, epoch: int, n_pairs: int, settings: Settings, progress: Callable[[int], Any]
) -> EpochReport:
    """Visit every pair once; ``progress`` is told the number of pairs of each launch.

    Raises TrainingDiverged after an update that was not finite. The kernel refused it.
    """
    begin, end = epoch * n_pairs, (epoch + 1) * n_pairs
    started = time.perf_counter()
    loss, pairs, active, impostors, skipped = 0.0, 0, 0, 0, 0
    step = least = PAIRS_PER_THREAD * settings.n_threads
    while begin < end:
        launched = time.perf_counter()
        counters = job.run(begin, min(begin + step, end))
        if counters.first_non_finite is not None:
            raise TrainingDiverged(
                f"epoch {epoch}: an update was not finite and was refused; training stopped with "
                "the tables as they were. Lower learning_rate, or the weights of train"
            )
        begin += step
        speed = counters.pairs / max(time.perf_counter() - launched, 1e-9)
        step = max(least, int(speed * SECONDS_PER_LAUNCH))
        loss += counters.loss
        pairs += counters.pairs
        active += counters.active
        impostors += counters.impostors
        skipped += counters.skipped
        progress(counters.pairs)
    trained = max(pairs - skipped, 1)
    return EpochReport(
        epoch=epoch,
        loss=loss / trained,
        active_share=active / trained,
        impostor_share=impostors / (trained * settings.n_negatives),
        pairs=pairs,
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )
