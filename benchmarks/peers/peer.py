"""What a recommender must offer to be compared."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import scipy.sparse as sp

from ..ranking import Scores

Settings = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """What a peer may learn from: likes (n_users, n_items) and, for some, features of the items."""

    likes: sp.csr_array
    item_features: sp.csr_array | None = None


class Trial(Protocol):
    """The part of ``optuna.Trial`` that peers use."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True)
class Peer:
    """One row of the comparison.

    ``train(data, settings, seed)`` yields the scores after each epoch, or after each few; for as
    long as it is asked to, or until it has nothing more to learn. What it yields may change later.
    ``search`` names the settings to try, ``first`` is tried first.
    """

    name: str
    package: str | None  # as pip knows it; None: nothing beyond this one
    train: Callable[[Data, Settings, int], Generator[Scores, None, None]]
    search: Callable[[Trial], Settings]
    first: Settings
    n_epochs: int = 1  # that are worth waiting for, at most
    every: int = 1  # epochs from one of the yielded scores to the next
    max_users: int | None = None  # more take too long
    with_features: bool = False
    ours: bool = False
    draws: bool = True  # numbers at random: otherwise a seed changes the split at most
