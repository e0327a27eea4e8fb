"""The registry of losses: one row for each, beside its kernel in ``csrc/core/losses/``.

The compiled module knows each loss by the same name and says whether its pairs share negatives
(``_core.LOSSES``). A row says what the rest of the package needs: which hyper-parameters are the
loss's own, what their defaults are, and how large its gradients can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import _core
from .settings import Settings


@dataclass(frozen=True)
class Loss:
    """What is particular to a loss.

    Attributes
    ----------
    parameters : tuple of str
        The hyper-parameters that this loss reads and not every other loss does.
    defaults : mapping of str to value
        Of its own parameters, and of the others whose best default depends on the loss.
    coefficient_bound : function of Settings
        The largest sum of the absolute values of the coefficients c in the gradients c (a - b) that
        a pair of weight 1 contributes to one row, divided by 2; without the rank weights.
    """

    parameters: tuple[str, ...]
    defaults: Mapping[str, Any]
    coefficient_bound: Callable[[Settings], float]


_SHARED_NEGATIVES = {"n_negatives": 256, "optimizer": "rowwise_adagrad", "ema_decay": 0.8}

LOSSES: dict[str, Loss] = {
    "softmax": Loss(
        parameters=("temperature",),
        defaults={**_SHARED_NEGATIVES, "temperature": None, "feature_weight": 5.0},
        # The softmax probabilities of the negatives add up to less than 1.
        coefficient_bound=lambda settings: 1 / settings.temperature,
    ),
    "contrastive": Loss(
        parameters=("margin", "negative_weight"),
        defaults={
            **_SHARED_NEGATIVES,
            "margin": 0.8,
            "negative_weight": 10.0,
            "feature_weight": 5.0,
        },
        # 1 for the positive, and W / U for each negative.
        coefficient_bound=lambda settings: 1 + settings.n_negatives * settings.negative_weight,
    ),
    "warp": Loss(
        parameters=("margin",),
        defaults={
            "n_negatives": 20,
            "margin": 1.25,
            "optimizer": "adagrad",
            "ema_decay": 0.0,
            "feature_weight": 30.0,
        },
        # One negative of each pair takes part.
        coefficient_bound=lambda settings: 1.0,
    ),
}


def loss_named(name: Any) -> Loss:
    """Return the row of a loss, or raise ValueError that names those there are."""
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(f"loss must be one of {tuple(LOSSES)}, got {name!r}")
    return LOSSES[name]


def shares_negatives(name: str) -> bool:
    """Whether the pairs of a tile share their negatives."""
    loss_named(name)
    return _core.LOSSES[name]
