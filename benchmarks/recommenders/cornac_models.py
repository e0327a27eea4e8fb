"""VBPR and CDL of the package Cornac, which learn from features of the items.

Cornac has its own row numbers, reads features as images or texts, and returns nothing between
epochs. Here it is given the row numbers of the benchmark, and matrices instead of files.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial

N_FACTORS = 100
EPOCHS_OF_VBPR = 4  # in one call
BATCH_SIZE = 1024
N_COMPONENTS = 300  # VBPR multiplies by dense features: those of a truncated SVD
VOCABULARY = 2000  # CDL reconstructs dense rows of the most frequent features


def _dataset(data: Data, seed: int) -> Any:
    from cornac.data import Dataset

    likes = sp.coo_array(data.likes)
    n_users, n_items = likes.shape
    triples = (likes.row, likes.col, np.ones(likes.nnz))
    users, items = ({i: i for i in range(n)} for n in (n_users, n_items))
    return Dataset(n_users, n_items, users, items, triples, seed=seed)


def vbpr(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """He and McAuley (AAAI 2016). Each call continues with the parameters of the previous one."""
    from cornac.models import VBPR

    dataset = _dataset(data, seed)
    dataset.item_image = SimpleNamespace(features=_components(data.item_features))
    learned: dict[str, np.ndarray] = {}
    while True:
        model = VBPR(
            k=N_FACTORS // 2,
            k2=N_FACTORS // 2,
            n_epochs=EPOCHS_OF_VBPR,
            batch_size=BATCH_SIZE,
            init_params=learned,
            seed=seed,
            verbose=False,
            **settings,
        )
        with redirect_stdout(StringIO()):  # it prints even with verbose=False
            model.fit(dataset)
        learned = {
            "Bi": model.beta_item,
            "Gu": model.gamma_user,
            "Gi": model.gamma_item,
            "Tu": model.theta_user,
            "E": model.emb_matrix,
            "Bp": model.beta_prime,
        }
        yield Scores.with_biases(
            np.hstack([model.gamma_user, model.theta_user]),
            np.hstack([model.gamma_item, model.theta_item]),
            model.beta_item + model.visual_bias,
        )


def _components(features: sp.csr_array) -> np.ndarray:
    """The features, if they are few, or their principal parts, with mean square 1."""
    if features.shape[1] > N_COMPONENTS:
        left, values, _ = sp.linalg.svds(features, N_COMPONENTS, rng=np.random.default_rng(0))
        dense = left * values
    else:
        dense = features.toarray()
    return (dense / np.sqrt(np.mean(dense**2))).astype(np.float32)


def cdl(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """Wang, Wang and Yeung (KDD 2015)."""
    for what in ("INTRAOP_THREADS", "INTEROP_THREADS"):
        os.environ.setdefault(f"TF_NUM_{what}", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from cornac.models import CDL

    features = data.item_features
    frequent = np.argsort(-np.bincount(features.indices), kind="stable")[:VOCABULARY]
    words = features[:, np.sort(frequent)].astype(np.float32)
    dataset = _dataset(data, seed)
    dataset.item_text = SimpleNamespace(batch_bow=lambda items: words[items].toarray())
    model = CDL(
        k=N_FACTORS,
        autoencoder_structure=[200],
        vocab_size=words.shape[1],
        batch_size=BATCH_SIZE,
        seed=seed,
        verbose=False,
        **settings,
    ).fit(dataset)
    yield Scores(model.U, model.V)


def _search_vbpr(trial: Trial) -> Settings:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True),
        "lambda_w": trial.suggest_float("lambda_w", 1e-3, 1.0, log=True),
        "lambda_e": trial.suggest_float("lambda_e", 1e-4, 1.0, log=True),
    }


def _search_cdl(trial: Trial) -> Settings:
    return {
        "max_iter": trial.suggest_categorical("max_iter", [15, 30]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
        "lambda_u": trial.suggest_float("lambda_u", 0.01, 1.0, log=True),
        "lambda_v": trial.suggest_float("lambda_v", 0.1, 100.0, log=True),
        "lambda_n": trial.suggest_float("lambda_n", 10.0, 10_000.0, log=True),
    }


RECOMMENDERS = [
    Recommender(
        "VBPR (Cornac)",
        "cornac",
        vbpr,
        _search_vbpr,
        {"learning_rate": 5e-3, "lambda_w": 0.01, "lambda_e": 0.01},
        n_epochs=80,
        every=EPOCHS_OF_VBPR,
        with_features=True,
    ),
    Recommender(
        "CDL (Cornac)",
        "tensorflow",
        cdl,
        _search_cdl,
        {
            "max_iter": 15,
            "learning_rate": 3e-3,
            "lambda_u": 0.1,
            "lambda_v": 10.0,
            "lambda_n": 100.0,
        },
        with_features=True,
    ),
]
