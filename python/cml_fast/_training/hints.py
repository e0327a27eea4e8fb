"""What a training that has ended says about its data and settings, for whoever watches it."""

from __future__ import annotations

import numpy as np

from .fit_inputs import FitInputs
from .retention import MOST, share_of_single
from .state import TrainingState


def hints(inputs: FitInputs, state: TrainingState) -> list[str]:
    """Sentences that each name a fact and what to do about it; none where nothing is unusual.

    ``state`` is that at the end, before it returns to the best epoch.
    """
    found = []
    best, n_epochs = state.best, len(state.history)
    if best is not None and best.epoch == state.first_epoch and n_epochs > 1:
        found.append(
            f"the first of {n_epochs} epochs was the best on the validation data, so the model "
            "learns likes by heart: try a lower user_retention, or a lower learning_rate"
        )
    single = share_of_single(inputs.counts["user_counts"])
    if single > MOST:
        found.append(
            f"{single:.0%} of the users have a single like, which says little about their taste: "
            "compare with the most popular items, and give features if there are any"
        )
    unknown = float(np.mean(inputs.counts["item_counts"] == 0))
    if unknown > MOST and inputs.settings.loss == "softmax" and "items" not in inputs.features:
        found.append(
            f"{unknown:.0%} of the items have no like: features of items, such as tags, would "
            "place them"
        )
    return found
