"""Train the vectors that the top-K benchmark searches among.

gowalla is trained on train and validation together, as in LightGCN's protocol. The
synthetic data, made by ``cml_fast.data.synthetic``, have as many users, items and likes as the
largest data set of Hsieh et al. (WWW 2017), EchoNest; of each user with five likes or more a fifth
is held out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast.data import split, synthetic

from ..common import datasets
from ..common.ranking import points_of_products
from ..recommenders import ALL, Data, Settings

NAMES = ("gowalla", "synthetic")
ECHONEST = (766_882, 260_417, 7_300_000)  # users, items, likes
N_TASTES, ITEMS_OF_A_TASTE = 64, 50  # at most, at least


class Likes(NamedTuple):
    train: sp.csr_array
    test: sp.csr_array


class Vectors(NamedTuple):
    """Points: the items nearest to a user are those that the model ranks first."""

    users: np.ndarray
    items: np.ndarray
    seconds: float  # of training


@cache
def likes(name: str, scale: float, folder: Path) -> Likes:
    if name == "gowalla":
        train, validation, test = (part.matrix for part in datasets.load(name, folder))
        return Likes(train + validation, test)
    n_users, n_items, n_likes = (round(scale * number) for number in ECHONEST)
    n_tastes = min(N_TASTES, n_items // ITEMS_OF_A_TASTE)
    made = synthetic(n_users, n_items, n_likes, n_tastes=n_tastes, random_state=0)
    train, test = split(made.interactions.matrix, (0.8, 0.2), random_state=0)
    return Likes(train, test)


def cml(train: sp.csr_array, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    model = Trainer(**settings, random_state=0, device="cpu", verbose=False).fit(train).model_
    return model.user_vectors, model.item_vectors


def mf(train: sp.csr_array, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """implicit's ALS, with inner products turned into distances, for the same indexes."""
    from threadpoolctl import threadpool_limits

    epochs = ALL["WRMF (implicit)"].train(Data(train), settings, 0)
    with threadpool_limits(1, "blas"):  # ALS has threads of its own
        scores = next(islice(epochs, settings["iterations"] - 1, None))
    return points_of_products(scores.users, scores.items)


MODELS: dict[str, Callable[[sp.csr_array, Settings], tuple[np.ndarray, np.ndarray]]] = {
    "CML": cml,
    "MF": mf,
}
SETTINGS: dict[tuple[str, str], Settings] = {
    # On the validation part 22 epochs are within 1% of the best (the study "temperature").
    ("gowalla", "CML"): {
        "temperature": 0.15,
        "user_retention": 1.0,
        "n_dims": 100,
        "n_epochs": 20,
    },
    ("synthetic", "CML"): {
        "temperature": 0.15,
        "user_retention": 1.0,
        "n_dims": 100,
        "n_epochs": 10,
        "update": "async",
    },
    # Found on the validation part by a wider search than that of benchmarks.accuracy.
    ("gowalla", "MF"): {
        "n_factors": 100,
        "alpha": 50.74,
        "regularization": 0.8802,
        "iterations": 5,
    },
}


def trained(data: str, model: str, scale: float, folder: Path, work: Path) -> Vectors:
    """Train, or load from ``work`` what was trained with the same settings."""
    settings = SETTINGS[data, model]
    asked = json.dumps([settings, scale])
    path = work / f"{data} {model}.npz"
    if path.exists():
        with np.load(path) as kept:
            if str(kept["asked"]) == asked:
                return Vectors(kept["users"], kept["items"], float(kept["seconds"]))
    train = likes(data, scale, folder).train
    started = time.perf_counter()
    users, items = MODELS[model](train, settings)
    found = Vectors(users, items, time.perf_counter() - started)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **found._asdict(), asked=asked)
    unfinished.replace(path)
    return found
