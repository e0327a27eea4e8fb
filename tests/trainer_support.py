"""What the tests of the trainer share."""

from typing import Any

import numpy as np

from cml_fast import Trainer


def trainer(**params: Any) -> Trainer:
    """Small, fast and, on the CPU, the same every time."""
    small = {"n_dims": 8, "n_negatives": 5, "n_epochs": 2, "batch_size": 100, "verbose": False}
    return Trainer(**{**small, "n_threads": 1, "device": "cpu", **params})


def vectors(fitted: Trainer) -> np.ndarray:
    return np.concatenate([fitted.model_.user_vectors, fitted.model_.item_vectors])


def assert_same(one: Trainer, other: Trainer) -> None:
    np.testing.assert_array_equal(vectors(one), vectors(other))
