"""The state of a training: what changes while it runs, and all that is needed to resume it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .._compute.array_api import namespace_on
from .._compute.feature_network import FeatureNetwork
from .._compute.tables import Tables
from .ema import MovingAverages, vectors_of
from .reports import Counters, EpochReport


@dataclass(frozen=True)
class Best:
    """The best epoch so far, and the tables at its end."""

    epoch: int
    recall: float
    tables: Tables
    networks: dict[str, FeatureNetwork]
    averages: MovingAverages | None = None


@dataclass
class TrainingState:
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
        Samples trained on over all fits: sample t belongs to epoch t // n_pairs.
    counts : Counters
        Of the epoch under way.
    history : list of EpochReport
        One for each epoch of this fit that has ended.
    best : Best or None
        None without validation data.
    stopped : bool
        Whether a callback has asked for the end.
    networks : dict of str to FeatureNetwork
        Of "users" and "items", where training has features of them.
    averages : MovingAverages or None
        Of the vectors, if they are averaged and an epoch has ended.
    temperature : float or None
        Of the softmax.
    user_retention : float
        What users keep of their vectors when an epoch begins.
    """

    tables: Tables
    seed: int
    ids: dict[str, np.ndarray]
    n_pairs: int
    first_epoch: int
    position: int
    counters: Counters = field(default_factory=Counters)
    history: list[EpochReport] = field(default_factory=list)
    best: Best | None = None
    stopped: bool = False
    networks: dict[str, FeatureNetwork] = field(default_factory=dict)
    averages: MovingAverages | None = None
    temperature: float | None = None
    user_retention: float = 1.0

    @property
    def epoch(self) -> int:
        """The current epoch. It ends with its report, not with its last sample."""
        return (self.position - self.counters.pairs) // self.n_pairs

    @property
    def n_epochs(self) -> int:
        """Epochs whose pairs have all been trained on."""
        return self.position // self.n_pairs

    def move_to(self, device: str) -> None:
        """Have all tables on a device."""
        xp = namespace_on(device)
        self.tables = self.tables.on(device)
        self.networks = {entity: f.on(xp) for entity, f in self.networks.items()}
        self.averages = self.averages and self.averages.on(device)
        if self.best is not None:
            self.best = replace(
                self.best,
                tables=self.best.tables.on(device),
                networks={entity: f.on(xp) for entity, f in self.best.networks.items()},
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
            self.averages = MovingAverages.of(vectors_of(self.tables), self.epoch)
        else:
            self.averages.include(vectors_of(self.tables), self.epoch, decay)

    def advance(self, position: int, counters: Counters) -> None:
        self.position, self.counters = position, counters

    def end_epoch(self, report: EpochReport, best: Best | None) -> None:
        self.history.append(report)
        self.best, self.counters = best, Counters()

    def return_to_best(self) -> None:
        """Return to the best epoch, so that a further fit continues from there."""
        if self.best is not None:
            self.tables.restore(self.best.tables)
            self.networks = self.best.networks
            self.averages = self.best.averages
            self.advance((self.best.epoch + 1) * self.n_pairs, Counters())
            self.best = None
