"""Train with early stopping, and choose settings with Optuna, in the same way for all rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..common.ranking import Scores
from ..recommenders import Data, Recommender, Settings

PATIENCE = 6  # epochs without a better recall, and at least PATIENT_LOOKS at it
PATIENT_LOOKS = 3
RANDOM_TRIALS = 4  # the first has the recommender's own settings; the later ones are sampled by TPE


class Fitted(NamedTuple):
    scores: Scores
    epochs: int
    recall: float
    curve: list[float]


def fit(
    recommender: Recommender,
    data: Data,
    settings: Settings,
    seed: int,
    watch: Callable[[Scores], float],
    n_epochs: int,
) -> Fitted:
    """Train until ``watch(scores)``, a recall, has not risen for some epochs."""
    patience = max(PATIENCE, PATIENT_LOOKS * recommender.every)
    curve: list[float] = []
    best = Fitted(Scores(np.empty(0), np.empty(0)), 0, -1.0, curve)
    epochs = recommender.train(data, settings, seed)
    for epoch in range(recommender.every, max(n_epochs, recommender.every) + 1, recommender.every):
        scores = next(epochs, None)
        if scores is None:
            break
        recall = watch(scores)
        curve.append(round(recall, 5))
        if recall > best.recall:
            best = Fitted(scores.copy(), epoch, recall, curve)
        elif epoch - best.epochs >= patience:
            break
    epochs.close()
    return best


def fit_for(
    recommender: Recommender, data: Data, settings: Settings, seed: int, n_epochs: int
) -> Scores:
    """Train for a number of epochs."""
    epochs = recommender.train(data, settings, seed)
    for _ in range(0, n_epochs, recommender.every):
        scores = next(epochs)
    epochs.close()
    return scores


def choose(
    study_name: str,
    file: Path,
    recommender: Recommender,
    data: Data,
    watch: Callable[[Scores], float],
    n_trials: int,
    n_epochs: int,
) -> dict[str, Any]:
    """The best of ``n_trials`` trials; those that ``file`` holds already are not repeated."""
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(file))),
        study_name=study_name,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=RANDOM_TRIALS),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(recommender.first)

    def objective(trial: Any) -> float:
        settings = recommender.search(trial)
        fitted = fit(recommender, data, settings, 0, watch, n_epochs)
        trial.set_user_attr("settings", settings)
        trial.set_user_attr("epochs", fitted.epochs)
        trial.set_user_attr("curve", fitted.curve)
        print(f"{study_name}: {settings}: {fitted.recall:.4f}", file=sys.stderr, flush=True)
        return fitted.recall

    complete = (TrialState.COMPLETE,)
    n_trials = n_trials if recommender.first else 1  # nothing to choose
    while (left := n_trials - len(study.get_trials(states=complete))) > 0:
        study.optimize(objective, n_trials=left)
    trials = study.get_trials(states=complete)[:n_trials]
    best = max(trials, key=lambda trial: trial.value)
    return {
        "trials": n_trials,
        "recall": best.value,
        "first_recall": trials[0].value,
        "seconds": round(sum(trial.duration.total_seconds() for trial in trials)),
        **best.user_attrs,
    }
