"""Matrix factorisation of the package implicit: WRMF by alternating least squares, and BPR.

Each epoch is another call of ``fit``, which continues with the factors of the previous one.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import scipy.sparse as sp

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial

N_FACTORS = 100
EPOCHS_OF_BPR = 5  # in one call: each call first converts the data


def wrmf(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """Hu, Koren and Volinsky (2008): a like has the confidence 1 + alpha, everything else 1."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=settings["n_factors"],
        alpha=1 + settings["alpha"],  # implicit's alpha is the whole confidence of a like
        regularization=settings["regularization"],
        iterations=1,
        num_threads=1,
        random_state=seed,
    )
    likes = sp.csr_matrix(data.likes)
    while True:
        model.fit(likes, show_progress=False)
        yield Scores(model.user_factors, model.item_factors)


def bpr(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """Rendle et al. (UAI 2009). The last factor of an item is its bias."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=settings["n_factors"],
        learning_rate=settings["learning_rate"],
        regularization=settings["regularization"],
        iterations=EPOCHS_OF_BPR,
        verify_negative_samples=True,
        num_threads=1,
        random_state=np.random.default_rng(seed),  # an int would restart with each call
    )
    likes = sp.csr_matrix(data.likes)
    while True:
        model.fit(likes, show_progress=False)
        yield Scores(model.user_factors, model.item_factors)


def _search_wrmf(trial: Trial) -> Settings:
    # Around what a wider search found best on the validation parts.
    return {
        "n_factors": N_FACTORS,
        "alpha": trial.suggest_float("alpha", 20, 200, log=True),
        "regularization": trial.suggest_float("regularization", 0.5, 300, log=True),
    }


def _search_bpr(trial: Trial) -> Settings:
    return {
        "n_factors": N_FACTORS,
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "regularization": trial.suggest_float("regularization", 1e-4, 0.3, log=True),
    }


RECOMMENDERS = [
    Recommender(
        "WRMF (implicit)",
        "implicit",
        wrmf,
        _search_wrmf,
        {"n_factors": N_FACTORS, "alpha": 90.0, "regularization": 10.0},
        n_epochs=80,
    ),
    Recommender(
        "BPR (implicit)",
        "implicit",
        bpr,
        _search_bpr,
        {"n_factors": N_FACTORS, "learning_rate": 0.05, "regularization": 0.01},
        n_epochs=400,
        every=EPOCHS_OF_BPR,
    ),
]
