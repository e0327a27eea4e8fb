"""What kernel launches count, and the report of an epoch that is made of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

# Digits of a reported loss: a launch's end depends on the clock, and the order of the sum on that.
LOSS_DIGITS = 7
# Not kept with a model, so that the same training gives the same file.
_OF_THE_CLOCK = ("seconds", "seconds_between")


@dataclass(frozen=True)
class EpochReport:
    """The report of one epoch.

    Attributes
    ----------
    epoch : int
        Counted from 0 over the life of the trainer, ``warm_start`` included.
    loss : float
        Mean loss of a pair, to seven digits. The weights that multiply the losses have the mean 1.
    active_share : float
        Share of pairs that changed the model ("warp": those with at least one impostor), in [0, 1].
    impostor_share : float
        Share of the drawn negatives that were inside the margin, or ("softmax") nearer than the
        liked item, in [0, 1].
    pairs, skipped : int
        Pairs trained on, and those among them that were skipped because their user likes every
        item.
    seconds : float
        Wall time of the training itself, in seconds.
    seconds_between : float
        The part of it spent between kernel launches, on regularisation and feature networks.
    recall : float or None
        Recall@50 on the validation data, if there are any.

    Examples
    --------
    >>> from cml_fast import EpochReport
    >>> report = EpochReport(
    ...     epoch=3, loss=0.25, active_share=0.5, impostor_share=0.1, pairs=100, skipped=0,
    ...     seconds=0.1, recall=0.3125,
    ... )
    >>> print(report)
    epoch 3, loss 0.250, active 50%, recall@50 0.3125
    """

    epoch: int
    loss: float
    active_share: float
    impostor_share: float
    pairs: int
    skipped: int
    seconds: float
    seconds_between: float = 0.0
    recall: float | None = None

    def __str__(self) -> str:
        text = f"epoch {self.epoch}, loss {self.loss:.3f}, active {self.active_share:.0%}"
        return text if self.recall is None else f"{text}, recall@50 {self.recall:.4f}"


def history_of(reports: Iterable[EpochReport]) -> list[dict[str, Any]]:
    """Return reports as plain JSON values, as a model keeps them."""
    return [
        {name: value for name, value in asdict(report).items() if name not in _OF_THE_CLOCK}
        for report in reports
    ]


@dataclass(frozen=True)
class Counters:
    """Sums over kernel launches: the kernel's own counters, and the time that passed.

    Attributes
    ----------
    pairs, skipped, active, impostors : int
        As `_core.Counters` has them.
    loss : float
        Sum over the pairs.
    seconds, seconds_between : float
        Wall time of the launches, and the part of it spent between them.
    first_non_finite : int or None
        The sample whose update was refused in the last launch because it was not finite.
    """

    pairs: int = 0
    skipped: int = 0
    active: int = 0
    impostors: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    seconds_between: float = 0.0
    first_non_finite: int | None = None

    def plus(self, launch: Any, seconds: float = 0.0) -> Counters:
        """Add the counters of a further launch, and the time it took in all."""
        return Counters(
            pairs=self.pairs + launch.pairs,
            skipped=self.skipped + launch.skipped,
            active=self.active + launch.active,
            impostors=self.impostors + launch.impostors,
            loss=self.loss + launch.loss,
            seconds=self.seconds + seconds,
            seconds_between=self.seconds_between + getattr(launch, "seconds_between", 0.0),
            first_non_finite=launch.first_non_finite,
        )

    def report(self, epoch: int, n_negatives: int) -> EpochReport:
        """Report these counters as those of a whole epoch."""
        trained = max(self.pairs - self.skipped, 1)
        return EpochReport(
            epoch=epoch,
            loss=float(f"{self.loss / trained:.{LOSS_DIGITS}g}"),
            active_share=self.active / trained,
            impostor_share=self.impostors / (trained * n_negatives),
            pairs=self.pairs,
            skipped=self.skipped,
            seconds=self.seconds,
            seconds_between=self.seconds_between,
        )
