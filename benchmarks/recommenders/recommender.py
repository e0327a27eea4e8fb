"""What a recommender must offer to be compared: `Recommender` and the `Data` it learns from."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import scipy.sparse as sp

from ..common.ranking import Scores

Settings = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """What to learn from: likes (n_users, n_items) and, for some, features of the items."""

    likes: sp.csr_array
    item_features: sp.csr_array | None = None


class Trial(Protocol):
    """The part of ``optuna.Trial`` that the search spaces use."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True)
class Recommender:
    """One row of the comparison.

    ``train(data, settings, seed)`` is a generator: it yields scores after each epoch, or after
    every few, until it is closed or has nothing more to learn. Later epochs may change the arrays
    that it yielded. ``search(trial)`` proposes settings; ``first`` are the settings tried first.
    """

    name: str
    package: str | None  # that must be installed; None: no other one
    train: Callable[[Data, Settings, int], Generator[Scores, None, None]]
    search: Callable[[Trial], Settings]
    first: Settings
    n_epochs: int = 1  # at most
    every: int = 1  # epochs between two yielded scores
    max_users: int | None = None  # with more users it takes too long
    with_features: bool = False
    ours: bool = False  # a model of cml_fast
    draws: bool = True  # random numbers; if not, the seed only changes the split
