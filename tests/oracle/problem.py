"""The tables and the hyper-parameters of a training step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Tables:
    """Vectors and AdaGrad accumulators of users and items, changed in place.

    Vectors are (n, r). Accumulators are (n, r) too, or (n, 1) where each row has one.
    """

    users: np.ndarray
    user_accumulators: np.ndarray
    items: np.ndarray
    item_accumulators: np.ndarray


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters; each loss reads those that it needs."""

    n_negatives: int
    margin: float
    learning_rate: float
    epsilon: float
    max_norm: float
    seed: int
    pairs_per_part: int = 0  # 0: all pairs are one part
    batch_size: int = 0  # 0: asynchronous, every step updates its rows at once
    largest_gradient: float = 1.0  # of those that a mini-batch adds up; fixes how they are rounded
    precision: str = "float32"  # of what the products of a tile take, or "bfloat16"
    rowwise: bool = False  # one AdaGrad accumulator for each row
    loss: str = "warp"
    tile_size: int = 1  # pairs that share negatives
    temperature: float = 1.0
    importance_weight: float = 1.0
    negative_weight: float = 1.0


Gradient = tuple[str, int, np.ndarray]
"""The table, "user" or "item", the row, and the gradient with respect to this row."""


def new_counters() -> dict[str, float]:
    return {"pairs": 0, "active": 0, "impostors": 0, "skipped": 0, "loss": 0.0}
