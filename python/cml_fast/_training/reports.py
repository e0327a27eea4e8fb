"""What an epoch reports."""

from __future__ import annotations

from dataclasses import dataclass

from .scheduled import Launch


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes
    ----------
    epoch : int
        Counted from 0 over the life of the trainer, ``warm_start`` included.
    loss : float
        Mean loss of a pair, to seven digits.
    active_share : float
        Share of pairs that changed the model ("warp": those with at least one impostor).
    impostor_share : float
        Share of the drawn negatives that were inside the margin, or ("softmax") nearer than the
        liked item.
    pairs, skipped : int
        Pairs visited, and those among them whose user likes every item.
    seconds : float
        Wall time of the training itself.
    seconds_between : float
        Of these, what was spent between the launches of the kernels: on regularisation.
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
    seconds_between: float = 0.0
    recall: float | None = None

    def __str__(self) -> str:
        text = f"epoch {self.epoch}, loss {self.loss:.3f}, active {self.active_share:.0%}"
        return text if self.recall is None else f"{text}, recall@50 {self.recall:.4f}"


@dataclass(frozen=True)
class Counts:
    """Sums over the launches of an epoch so far."""

    pairs: int = 0
    skipped: int = 0
    active: int = 0
    impostors: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    seconds_between: float = 0.0

    def plus(self, launch: Launch, seconds: float) -> Counts:
        """With what a further launch reports."""
        return Counts(
            pairs=self.pairs + launch.pairs,
            skipped=self.skipped + launch.skipped,
            active=self.active + launch.active,
            impostors=self.impostors + launch.impostors,
            loss=self.loss + launch.loss,
            seconds=self.seconds + seconds,
            seconds_between=self.seconds_between + launch.seconds_between,
        )

    def report(self, epoch: int, n_negatives: int) -> EpochReport:
        trained = max(self.pairs - self.skipped, 1)
        return EpochReport(
            epoch=epoch,
            # Launches end by the clock, and where they end decides the last bits of this sum. What
            # is reported does not depend on it; a pair's loss has no more digits either.
            loss=float(f"{self.loss / trained:.7g}"),
            active_share=self.active / trained,
            impostor_share=self.impostors / (trained * n_negatives),
            pairs=self.pairs,
            skipped=self.skipped,
            seconds=self.seconds,
            seconds_between=self.seconds_between,
        )
