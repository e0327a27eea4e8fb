"""Collaborative Metric Learning as a model of RecTools."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model import Model
from ..trainer import Trainer
from ._tools import HYPERPARAMETERS, imports_of

with imports_of("RecTools", "rectools"):
    from pydantic import create_model
    from rectools.dataset import Dataset
    from rectools.models.base import ModelBase, ModelConfig

Hyperparameters: Any = create_model(
    "Hyperparameters",
    __base__=ModelConfig,
    **{name: (Any, default) for name, default in HYPERPARAMETERS.items()},
)
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


class CMLModelConfig(Hyperparameters):
    """What RecTools keeps of every model, and the hyper-parameters of `Trainer`."""


class CMLModel(ModelBase[CMLModelConfig]):
    """Recommends the items nearest to the user, and to an item the nearest others.

    Scores are negative distances. The weights of the dataset are weights of the likes, see
    ``weighting``; features are not used. Users and items need interactions ("hot" ones).

    Parameters
    ----------
    verbose : int
        0: nothing is printed while the model is fitted.
    **hyperparameters
        Those of `Trainer`.
    """

    recommends_for_warm = False
    recommends_for_cold = False
    config_class = CMLModelConfig
    model: Model

    def __init__(self, verbose: int = 0, **hyperparameters: Any) -> None:
        super().__init__(verbose=verbose)
        self.config = CMLModelConfig(cls=type(self), verbose=verbose, **hyperparameters)

    def _get_config(self) -> CMLModelConfig:
        return self.config

    @classmethod
    def _from_config(cls, config: CMLModelConfig) -> CMLModel:
        return cls(**config.model_dump(exclude={"cls"}))

    def _fit(self, dataset: Dataset) -> None:
        settings = self.config.model_dump(include=HYPERPARAMETERS.keys())
        likes = dataset.get_user_item_matrix(include_weights=True)
        self.model = Trainer(**settings, verbose=bool(self.verbose)).fit(likes).model_

    def _recommend_u2i(
        self, users: np.ndarray, dataset: Dataset, k: int, filter_viewed: bool, allowed: Any
    ) -> Found:
        viewed = dataset.get_user_item_matrix(include_weights=False)[users]
        exclude = viewed if filter_viewed else None
        return self._nearest(users, self.model.user_vectors[users], k, exclude, allowed)

    def _recommend_i2i(self, items: np.ndarray, dataset: Dataset, k: int, allowed: Any) -> Found:
        return self._nearest(items, self.model.item_vectors[items], k, None, allowed)

    def _nearest(
        self, ids: np.ndarray, vectors: np.ndarray, k: int, exclude: Any, allowed: Any
    ) -> Found:
        rows, distances = self.model.recommend_from_vectors(vectors, k, exclude, items=allowed)
        found = rows >= 0
        return np.repeat(ids, found.sum(axis=1)), rows[found], -distances[found]
