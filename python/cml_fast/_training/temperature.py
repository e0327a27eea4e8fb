"""The temperature of the softmax where none is named: short trainings show which suits the data.

No number suits all data. The best ones of the benchmarks differ by a factor of two, and the wrong
one costs 5 to 10 percent of the recall; after a few epochs it is plain which is better (see
docs/losses.md).
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
HELD_OUT = 0.1  # of the likes, where there are no validation data
USERS = 5000  # that judge, at most
K = 50


def choose(trainer: Any, inputs: FitInputs, say: Callable[[str], None]) -> float:
    """The one of TEMPERATURES with the best recall after a few epochs; the first of equal ones.

    Recall@50 of the validation data, or of likes that are held out for this; always the same ones,
    and the same first vectors and draws, so that the choice does not depend on ``random_state``.
    Features are left aside. A training that diverges recalls nothing.
    """
    known, wanted = inputs.likes, inputs.validation
    if wanted is None:
        known, wanted = split(inputs.likes, (1 - HELD_OUT, HELD_OUT), random_state=0)
    if wanted.nnz == 0:
        return TEMPERATURES[0]
    wanted = sample_of_users(wanted, USERS)
    # The first fit of a warm start is only a beginning; its few epochs do not say when to judge.
    n_epochs = N_EPOCHS if trainer.warm_start else min(N_EPOCHS, trainer.n_epochs)
    short = {
        **trainer.get_params(),
        **dict.fromkeys(features_only()),
        **{"n_epochs": n_epochs, "random_state": 0},
        **{"warm_start": False, "verbose": False},
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
                measure(model.user_vectors, model.item_vectors, wanted, known, [K]).recall[K]
            )
    best = TEMPERATURES[int(np.argmax(recalls))]
    tried = ", ".join(
        f"{temperature:g}: {recall:.4f}"
        for temperature, recall in sorted(zip(TEMPERATURES, recalls, strict=True))
    )
    say(f"temperature {best:g}, by recall@{K} after {n_epochs} epochs ({tried})")
    return best
