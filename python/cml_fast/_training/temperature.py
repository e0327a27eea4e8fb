"""Choosing the temperature of the softmax by short trial trainings.

No single value suits all data: the best ones differ by a factor of ten between kinds of data, and a
wrong one costs 5 to 20 percent of the recall. Two epochs are enough to tell which is better (see
docs/studies/losses.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..data import split
from .fit_inputs import FitInputs
from .hyperparameters import FIRST_TEMPERATURE
from .trials import Begin, K, MakeJob, Trials, is_better

N_EPOCHS = 2
HELD_OUT = 0.1  # the share of the likes that is held out
MAX_USERS = 1000  # on whom NDCG is measured
RATIO = 2.0  # of a candidate to the next lower one
MAX_STEPS = 6  # to either side of the first candidate
# Where items have features, this one is good, see docs/studies/features.md. The trials leave them
# aside, because with features they would take several times as long, and say it only roughly, up to
# such a factor.
WITH_FEATURES = 0.25
ROUGHLY = 1.25
N_DIGITS = 2  # that are significant, of the choice


def choose(
    inputs: FitInputs,
    begin: Begin,
    make_job: MakeJob,
    say: Callable[[str], None],
) -> float:
    """Return the temperature with the best NDCG after a few epochs.

    The candidates are ``FIRST_TEMPERATURE`` times powers of ``RATIO``. From the first one the
    search goes down, or else up, as long as that improves NDCG@50 by more than a standard error.
    The choice lies where a parabola through the figures of the best one and its two neighbours has
    its maximum.

    NDCG is measured on the validation data, or on likes held out for the trials. Where items have
    features, ``WITH_FEATURES`` is taken, or what is nearest to it of ``1 / ROUGHLY`` to ``ROUGHLY``
    times what the trials say. The trials do not average vectors over epochs: in so few, an average
    hides the noise of a temperature that is too low.

    Parameters
    ----------
    inputs : FitInputs
    begin, make_job
        See `Trials`.
    say : function of str
        Is told the choice and what it rests on.
    """
    known, wanted = inputs.likes, inputs.validation
    if wanted is None:
        known, wanted = split(inputs.likes, (1 - HELD_OUT, HELD_OUT), random_state=0)
    unit = inputs.settings.max_norm**2
    first = FIRST_TEMPERATURE * unit
    if wanted.nnz == 0:
        return first
    trials = Trials(inputs, known, wanted, MAX_USERS, False, begin, make_job)

    def ndcg(step: int) -> np.ndarray:
        return trials.ndcg(trials.copy(temperature=first * RATIO**step), N_EPOCHS)

    tried: dict[int, np.ndarray] = {}
    step = _climb(ndcg, tried)
    best = first * RATIO ** _summit(step, tried)
    with_features = ""
    if "items" in inputs.features:
        with_features = f"for items with features, {best:.{N_DIGITS}g} without, "
        best = float(np.clip(WITH_FEATURES * unit, best / ROUGHLY, best * ROUGHLY))
    best = float(f"{best:.{N_DIGITS}g}")
    evidence = ", ".join(
        f"{first * RATIO**step:.3g}: {tried[step].mean():.4f}" for step in sorted(tried)
    )
    say(f"temperature {best:g}, {with_features}by NDCG@{K} after {N_EPOCHS} epochs ({evidence})")
    return best


def _climb(ndcg: Callable[[int], np.ndarray], tried: dict[int, np.ndarray]) -> int:
    """Return the step that is better than the next ones on both sides; put figures in ``tried``."""
    tried[0] = ndcg(0)
    step = 0
    for direction in (-1, 1):
        while abs(step) < MAX_STEPS:
            tried[step + direction] = ndcg(step + direction)
            if not is_better(tried[step + direction], tried[step]):
                break
            step += direction
        if step != 0:  # what lies on the other side has been tried on the way
            break
    return step


def _summit(step: int, tried: dict[int, np.ndarray]) -> float:
    """Where a parabola through the figures at ``step`` and on both sides of it is highest.

    At most half a step from ``step``.
    """
    if step - 1 not in tried or step + 1 not in tried:
        return step
    below, at, above = (tried[step + side].mean() for side in (-1, 0, 1))
    curvature = 2 * at - below - above
    if curvature <= 0:
        return step
    return step + float(np.clip((above - below) / (2 * curvature), -0.5, 0.5))
