"""Training with early stopping, and the choice of settings by Optuna, the same for all peers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .peers import Data, Peer, Settings
from .ranking import Scores

PATIENCE = 6  # epochs without a better recall, and at least PATIENT_LOOKS at it
PATIENT_LOOKS = 3
RANDOM_TRIALS = 4  # the first of them is the peer's own; then Optuna's sampler learns from them


class Fitted(NamedTuple):
    scores: Scores
    epochs: int
    recall: float
    curve: list[float]


def fit(
    peer: Peer,
    data: Data,
    settings: Settings,
    seed: int,
    watch: Callable[[Scores], float],
    n_epochs: int,
) -> Fitted:
    """Train until the recall that ``watch(scores)`` tells has not risen for some time."""
    patience = max(PATIENCE, PATIENT_LOOKS * peer.every)
    curve: list[float] = []
    best = Fitted(Scores(np.empty(0), np.empty(0)), 0, -1.0, curve)
    epochs = peer.train(data, settings, seed)
    for epoch in range(peer.every, max(n_epochs, peer.every) + 1, peer.every):
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


def fit_for(peer: Peer, data: Data, settings: Settings, seed: int, n_epochs: int) -> Scores:
    epochs = peer.train(data, settings, seed)
    for _ in range(0, n_epochs, peer.every):
        scores = next(epochs)
    epochs.close()
    return scores


def choose(
    study_name: str,
    file: Path,
    peer: Peer,
    data: Data,
    watch: Callable[[Scores], float],
    n_trials: int,
    n_epochs: int,
) -> dict[str, Any]:
    """The best of so many trials, with those before it that ``file`` remembers."""
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
        study.enqueue_trial(peer.first)

    def objective(trial: Any) -> float:
        settings = peer.search(trial)
        fitted = fit(peer, data, settings, 0, watch, n_epochs)
        trial.set_user_attr("settings", settings)
        trial.set_user_attr("epochs", fitted.epochs)
        trial.set_user_attr("curve", fitted.curve)
        print(f"{study_name}: {settings}: {fitted.recall:.4f}", file=sys.stderr, flush=True)
        return fitted.recall

    complete = (TrialState.COMPLETE,)
    n_trials = n_trials if peer.first else 1  # nothing to choose
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
