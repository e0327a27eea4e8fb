"""What the tests of the trainer share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer


def trainer(**params: Any) -> Trainer:
    """Small, fast and, on the CPU, the same every time; a model has the vectors of the tables."""
    small = {"n_dims": 8, "n_negatives": 5, "n_epochs": 2, "verbose": False}
    small |= {"n_threads": 1, "device": "cpu", "popularity_weight": 0}
    if params.get("update") != "async":
        small["batch_size"] = 100
    if params.get("loss", "softmax") == "softmax":
        small |= {"temperature": 0.3, "user_retention": 1.0}
    return Trainer(**{**small, **params})


class WithRun:
    """A job with another ``run``."""

    def __init__(self, job: Any, run: Callable[[int, int], Any]) -> None:
        object.__setattr__(self, "_job", job)
        object.__setattr__(self, "run", run)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._job, name, value)


def vectors(fitted: Trainer) -> np.ndarray:
    return np.concatenate([fitted.model_.user_vectors, fitted.model_.item_vectors])


def assert_same(one: Trainer, other: Trainer) -> None:
    np.testing.assert_array_equal(vectors(one), vectors(other))


def popularity_recall(train: sp.csr_array, test: sp.csr_array) -> float:
    """Recall@50 of the items with the most likes, a user's own left out."""
    popularity = (train != 0).sum(axis=0)
    recalls = []
    for user in np.flatnonzero(np.diff(test.indptr)):
        order = np.argsort(-popularity, kind="stable")
        order = order[~np.isin(order, train[[user]].indices)]
        recalls.append(np.isin(test[[user]].indices, order[:50]).mean())
    return float(np.mean(recalls))
