"""Where a training stands: what changes while it runs, and all that is needed to go on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ._averages import Averages
from ._backend import Tables
from ._features import FeatureNetwork
from ._interleaved import Launch
from ._namespace import namespace_on


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


@dataclass(frozen=True)
class Best:
    """The best epoch so far, and the tables at its end."""

    epoch: int
    recall: float
    tables: Tables
    networks: dict[str, FeatureNetwork]
    averages: Averages | None = None


@dataclass
class Progress:
    """Where a training stands. A checkpoint holds this, and else only what does not change.

    Attributes
    ----------
    tables : Tables
    seed : int
        Of all that is drawn in training.
    ids : dict of str to numpy.ndarray
        External ids of users and items, if train had any.
    n_pairs : int
        Visits of an epoch.
    first_epoch : int
        The epoch that this fit began with.
    position : int
        Visits over all fits: visit t belongs to epoch t // n_pairs.
    counts : Counts
        Of the epoch under way.
    history : list of EpochReport
        One for each epoch of this fit that has ended.
    best : Best or None
        None without validation data.
    stopped : bool
        Whether a callback has asked for the end.
    networks : dict of str to FeatureNetwork
        Of "users" and "items", where training has features of them.
    averages : Averages or None
        Of the vectors, if they are averaged and an epoch has ended.
    temperature : float or None
        Of the softmax.
    """

    tables: Tables
    seed: int
    ids: dict[str, np.ndarray]
    n_pairs: int
    first_epoch: int
    position: int
    counts: Counts = Counts()
    history: list[EpochReport] = field(default_factory=list)
    best: Best | None = None
    stopped: bool = False
    networks: dict[str, FeatureNetwork] = field(default_factory=dict)
    averages: Averages | None = None
    temperature: float | None = None

    @property
    def epoch(self) -> int:
        """The epoch under way; it ends with its report, not with its last visit."""
        return (self.position - self.counts.pairs) // self.n_pairs

    @property
    def n_epochs(self) -> int:
        """Epochs whose pairs have all been visited."""
        return self.position // self.n_pairs

    def move_to(self, device: str) -> None:
        """Have all tables on a device."""
        xp = namespace_on(device)
        self.tables = self.tables.on(device)
        self.networks = {side: f.on(xp) for side, f in self.networks.items()}
        self.averages = self.averages and self.averages.on(device)
        if self.best is not None:
            self.best = replace(
                self.best,
                tables=self.best.tables.on(device),
                networks={side: f.on(xp) for side, f in self.best.networks.items()},
                averages=self.best.averages and self.best.averages.on(device),
            )

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Users and items as a model has them, NumPy arrays: averages, if there are any."""
        if self.averages is None:
            return self.tables.vectors()
        arrays = self.averages.to_arrays()
        return arrays["users"], arrays["items"]

    def average(self, decay: float) -> None:
        """Take the vectors of the epoch that has just ended into the averages."""
        if decay == 0:
            return
        if self.averages is None:
            self.averages = Averages.of(self.tables, self.epoch)
        else:
            self.averages.include(self.tables, self.epoch, decay)

    def advance(self, position: int, counts: Counts) -> None:
        self.position, self.counts = position, counts

    def end_epoch(self, report: EpochReport, best: Best | None) -> None:
        self.history.append(report)
        self.best, self.counts = best, Counts()

    def return_to_best(self) -> None:
        """Make the best epoch the last one; a further fit goes on from there."""
        if self.best is not None:
            self.tables.restore(self.best.tables)
            self.networks = self.best.networks
            self.averages = self.best.averages
            self.advance((self.best.epoch + 1) * self.n_pairs, Counts())
            self.best = None
