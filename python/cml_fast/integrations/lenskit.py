"""Collaborative Metric Learning as a component of LensKit's pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._core import pair_distances
from ..trainer import Trainer
from ._tools import HYPERPARAMETERS, imports_of

with imports_of("LensKit", "lenskit"):
    from lenskit.data import Dataset, ItemList, QueryInput, RecQuery
    from lenskit.pipeline import Component
    from lenskit.training import Trainable, TrainingOptions
    from pydantic import create_model

Hyperparameters: Any = create_model(
    "Hyperparameters",
    __config__={"extra": "forbid"},
    **{name: (Any, default) for name, default in HYPERPARAMETERS.items()},
)


class CMLConfig(Hyperparameters):
    """The hyper-parameters of `Trainer`, and which attribute of interactions is their weight."""

    weight: str | None = None


class CMLScorer(Component[ItemList], Trainable):
    """Scores items by their distance to the user, negative, so that larger is better.

    Every interaction is a like. ``weight``, such as "count" or "rating", names the attribute that
    has the weights of the likes; by default all weigh the same. The other options are the
    hyper-parameters of `Trainer`. Users that training did not have are placed by the items of the
    query. Scores are NaN for users without either, and for items that training did not have.
    """

    config: CMLConfig

    def train(self, data: Dataset, options: TrainingOptions) -> None:
        """Learn from the interactions of a dataset."""
        if hasattr(self, "model") and not options.retrain:
            return
        settings = self.config.model_dump(exclude={"weight"})
        if options.device is not None:
            settings["device"] = options.device
        if options.rng is not None:
            settings["random_state"] = options.random_generator()
        likes = data.interactions().matrix(row_entity="user", col_entity="item")
        likes = likes.scipy(self.config.weight, layout="csr")
        self.users, self.items = data.users, data.items
        self.trained = np.diff(likes.indptr) > 0  # which users have likes
        self.model = Trainer(**settings, verbose=False).fit(likes).model_

    def __call__(self, query: QueryInput, items: ItemList) -> ItemList:
        columns = items.numbers(vocabulary=self.items, missing="negative")
        known = columns >= 0
        scores = np.full(len(items), np.nan, dtype=np.float32)
        vector = self._vector(RecQuery.create(query))
        if vector is not None and known.any():
            rows = np.zeros(known.sum(), dtype=np.int64)
            columns = columns[known]
            scores[known] = -pair_distances(vector, self.model.item_vectors, rows, columns)
        return ItemList(items, scores=scores)

    def _vector(self, query: RecQuery) -> np.ndarray | None:
        row = None if query.user_id is None else self.users.number(query.user_id, missing=None)
        if row is not None and self.trained[row]:
            return self.model.user_vectors[[row]]
        history = query.query_items or ItemList()
        liked = np.unique(history.numbers(vocabulary=self.items, missing="negative"))
        liked = liked[liked >= 0]
        if liked.size == 0:
            return None
        likes = (np.ones(liked.size), liked, [0, liked.size])
        return self.model.fold_in_users(sp.csr_array(likes, shape=(1, len(self.items))))
