"""The registry of losses: one row for each, beside its kernel in ``csrc/core/losses/``.

The compiled module knows each loss by the same name and says whether its pairs share negatives
(``_core.LOSSES``). A row says what the rest of the package needs: which hyper-parameters are the
loss's own, what their defaults are, and how large its gradients can be.
"""

from __future__ import annotations

import math
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
    rank_weighted : bool
        Whether the rank weights multiply these coefficients.
    tile_size : int
        How many pairs share their negatives, where the loss lets them.
    """

    parameters: tuple[str, ...]
    defaults: Mapping[str, Any]
    coefficient_bound: Callable[[Settings], float]
    rank_weighted: bool = False
    tile_size: int = _core.MAX_TILE_SIZE


_SHARED_NEGATIVES = {"n_negatives": 256, "optimizer": "rowwise_adagrad", "ema_decay": 0.8}
_PAPER = {
    "n_negatives": None,  # by the size of the data: see hardest_of()
    "margin": 1.25,
    "optimizer": "rowwise_adagrad",
    "ema_decay": 0.8,
    "feature_weight": 30.0,
}

LOSSES: dict[str, Loss] = {
    "softmax": Loss(
        parameters=("temperature",),
        defaults={**_SHARED_NEGATIVES, "temperature": None, "feature_weight": 10.0},
        # The softmax probabilities of the negatives add up to less than 1.
        coefficient_bound=lambda settings: 1 / settings.temperature,
    ),
    "contrastive": Loss(
        parameters=("margin", "negative_weight"),
        defaults={
            **_SHARED_NEGATIVES,
            "margin": 0.8,
            "negative_weight": 10.0,
            "feature_weight": 10.0,
        },
        # 1 for the positive, and W / U for each negative.
        coefficient_bound=lambda settings: 1 + settings.n_negatives * settings.negative_weight,
    ),
    "warp": Loss(
        parameters=("margin",),
        defaults=_PAPER,
        # One negative of each pair takes part.
        coefficient_bound=lambda settings: 1.0,
        rank_weighted=True,
    ),
    "shared_warp": Loss(
        parameters=("margin",),
        defaults=_PAPER,
        coefficient_bound=lambda settings: 1.0,
        rank_weighted=True,
        # More pairs would push the few negatives that are nearest to many of them too far at once.
        tile_size=32,
    ),
}

# The nearest of U negatives is, on average, among the nearest J / U of all items. In a small
# catalogue these are items that the user would like, and pushing them away does harm; and so it
# does where few likes say where the items belong.
ITEMS_FOR_A_NEGATIVE = 400
ROOT_OF_PAIRS_FOR_A_NEGATIVE = 12
FEWEST_NEGATIVES, MOST_NEGATIVES = 3, 64


def hardest_of(n_items: int, n_pairs: int | None = None) -> int:
    """How many negatives the paper's loss draws by default, of which it pushes the nearest."""
    wanted = n_items / ITEMS_FOR_A_NEGATIVE
    if n_pairs is not None:
        wanted = min(wanted, math.sqrt(n_pairs) / ROOT_OF_PAIRS_FOR_A_NEGATIVE)
    return min(max(round(wanted), FEWEST_NEGATIVES), MOST_NEGATIVES)


def loss_named(name: Any) -> Loss:
    """Return the row of a loss, or raise ValueError that names those there are."""
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(f"loss must be one of {tuple(LOSSES)}, got {name!r}")
    return LOSSES[name]


def shares_negatives(name: str) -> bool:
    """Whether the pairs of a tile share their negatives."""
    loss_named(name)
    return _core.LOSSES[name]
