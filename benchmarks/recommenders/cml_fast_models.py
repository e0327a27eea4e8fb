"""CML of cml_fast: its defaults, the paper's loss and the softmax, and both with features."""

from __future__ import annotations

from collections.abc import Generator

from cml_fast import Trainer

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial


def train(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """Train with these settings.

    If ``popularity_weight`` is one of them, it is that of a popularity bias without calibration:
    the settings in the result files were found that way.
    """
    own = dict(settings)
    weight = own.get("popularity_weight", 0.0)
    if "popularity_weight" in own:
        own["popularity_weight"] = 0.0
    trainer = Trainer(
        **own,
        n_epochs=1,
        n_threads=1,
        random_state=seed,
        warm_start=True,
        device="cpu",
        verbose=False,
    )
    while True:
        model = trainer.fit(data.likes, item_features=data.item_features).model_
        if weight > 0:
            model = model.with_popularity_bias(data.likes, weight, calibrated=False)
        yield Scores.of_distances(model.user_vectors, model.item_vectors)


def _search_decay(trial: Trial) -> Settings:
    return {"learning_rate_decay": trial.suggest_categorical("learning_rate_decay", [0.0, 0.05])}


def _search_warp(trial: Trial) -> Settings:
    return {
        "loss": "warp",
        "margin": trial.suggest_float("margin", 0.75, 2.0),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
        **_search_decay(trial),
    }


def _search_softmax(trial: Trial) -> Settings:
    return {
        "temperature": trial.suggest_float("temperature", 0.12, 0.5, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.07, 0.3, log=True),
        **_search_decay(trial),
        "n_negatives": trial.suggest_categorical("n_negatives", [256, 512, 1024]),
        "popularity_weight": trial.suggest_float("popularity_weight", 0.0, 0.06),
    }


def _search_features(trial: Trial) -> Settings:
    return {
        "feature_weight": trial.suggest_float("feature_weight", 2, 50, log=True),
        "feature_learning_rate": trial.suggest_float("feature_learning_rate", 2e-3, 2e-2, log=True),
        "n_hidden": trial.suggest_categorical("n_hidden", [512, 1024, 2048]),
    }


def _search_warp_features(trial: Trial) -> Settings:
    margin = trial.suggest_float("margin", 0.75, 2.0)
    return {"loss": "warp", "margin": margin, **_search_features(trial)}


def _search_softmax_features(trial: Trial) -> Settings:
    temperature = trial.suggest_float("temperature", 0.12, 0.5, log=True)
    return {"temperature": temperature, **_search_features(trial)}


_FIRST_FEATURES = {"feature_learning_rate": 0.005, "n_hidden": 1024}

RECOMMENDERS = [
    Recommender("CML, defaults", None, train, lambda trial: {}, {}, n_epochs=60, ours=True),
    Recommender(
        "CML, the paper's loss",
        None,
        train,
        _search_warp,
        {"loss": "warp", "margin": 1.25, "learning_rate": 0.1, "learning_rate_decay": 0.0},
        n_epochs=60,
        ours=True,
    ),
    Recommender(
        "CML, softmax",
        None,
        train,
        _search_softmax,
        {
            "temperature": 0.21,
            "learning_rate": 0.1,
            "learning_rate_decay": 0.0,
            "n_negatives": 256,
            "popularity_weight": 0.0,
        },
        n_epochs=60,
        ours=True,
    ),
    Recommender(
        "CML+F, the paper's loss",
        None,
        train,
        _search_warp_features,
        {"loss": "warp", "margin": 1.25, "feature_weight": 30.0, **_FIRST_FEATURES},
        n_epochs=120,
        with_features=True,
        ours=True,
    ),
    Recommender(
        "CML+F, softmax",
        None,
        train,
        _search_softmax_features,
        {"temperature": 0.21, "feature_weight": 5.0, **_FIRST_FEATURES},
        n_epochs=120,
        with_features=True,
        ours=True,
    ),
]
