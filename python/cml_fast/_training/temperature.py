"""Choosing the temperature of the softmax by short trial trainings.

No single value suits all data: the best ones of the benchmark data sets differ by a factor of two,
and a wrong one costs 5 to 10 percent of the recall. A few epochs are enough to tell which is better
(see docs/studies/losses.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import split
from ..errors import TrainingDiverged
from ..metrics import measure
from .fit_inputs import FitInputs, sample_of_users
from .hyperparameters import TEMPERATURES, features_only

N_EPOCHS = 5
HELD_OUT = 0.1  # the share of the likes that is held out where there are no validation data
MAX_USERS = 5000  # on whom recall is measured
K = 50


def choose(trainer: Any, inputs: FitInputs, say: Callable[[str], None]) -> float:
    """Return the one of TEMPERATURES with the best recall after a few epochs, the first of equals.

    Recall@50 is measured on the validation data, or on likes held out for the trials. These
    likes, the first vectors and the draws are always the same, so that the choice does not depend
    on ``random_state``. The trials leave features aside. One that diverges counts as recall 0.
    """
    known, wanted = inputs.likes, inputs.validation
    if wanted is None:
        known, wanted = split(inputs.likes, (1 - HELD_OUT, HELD_OUT), random_state=0)
    if wanted.nnz == 0:
        return TEMPERATURES[0]
    wanted = sample_of_users(wanted, MAX_USERS)
    # The first fit of a warm start is often short, but the training it begins is not.
    n_epochs = N_EPOCHS if trainer.warm_start else min(N_EPOCHS, trainer.n_epochs)
    short = {
        **trainer.get_params(),
        **dict.fromkeys(features_only()),
        **{"n_epochs": n_epochs, "random_state": 0},
        **{"weighting": "linear", "warm_start": False, "verbose": False},  # weighed already
    }
    recalls = []
    for temperature in TEMPERATURES:
        one = type(trainer)(**{**short, "temperature": temperature})
        try:
            model = one.fit(known).model_
        except TrainingDiverged:
            recalls.append(0.0)
        else:
            recalls.append(
                measure(
                    model.user_vectors,
                    model.item_vectors,
                    wanted,
                    known,
                    [K],
                    n_threads=inputs.settings.n_threads,
                ).recall[K]
            )
    best = TEMPERATURES[int(np.argmax(recalls))]
    tried = ", ".join(
        f"{temperature:g}: {recall:.4f}"
        for temperature, recall in sorted(zip(TEMPERATURES, recalls, strict=True))
    )
    say(f"temperature {best:g}, by recall@{K} after {n_epochs} epochs ({tried})")
    return best
