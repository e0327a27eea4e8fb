"""Collaborative Metric Learning as a recommender of Cornac."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import pair_distances
from ..trainer import Trainer
from ._tools import HYPERPARAMETERS, check_names, imports_of

with imports_of("Cornac", "cornac"):
    from cornac.data import Dataset
    from cornac.exception import ScoreException
    from cornac.models import Recommender
    from cornac.models.recommender import MEASURE_L2, ANNMixin


class CML(Recommender, ANNMixin):
    """Scores items by their distance to the user, negative, so that larger is better.

    The values of the training set are weights of the likes. A validation set, if there is one,
    chooses the best epoch.

    Parameters
    ----------
    name : str
    trainable, verbose : bool
        As for all recommenders of Cornac.
    **settings
        The hyper-parameters of `Trainer`; Cornac's searches find them by their names.
    """

    def __init__(
        self, name: str = "CML", trainable: bool = True, verbose: bool = False, **settings: Any
    ) -> None:
        super().__init__(name=name, trainable=trainable, verbose=verbose)
        check_names(settings)
        for key, default in HYPERPARAMETERS.items():
            setattr(self, key, settings.get(key, default))

    @classmethod
    def _get_init_params(cls) -> list[str]:
        return ["name", "trainable", "verbose", *HYPERPARAMETERS]  # for `clone`

    def fit(self, train_set: Dataset, val_set: Dataset | None = None) -> CML:
        """Learn from a training set."""
        super().fit(train_set, val_set)
        if not self.trainable:
            return self
        likes = train_set.csr_matrix
        validation = None if val_set is None else val_set.csr_matrix.copy()
        if validation is not None:
            validation.resize(likes.shape)  # drops users and items that training does not have
        settings = {name: getattr(self, name) for name in HYPERPARAMETERS}
        trainer = Trainer(**settings, verbose=self.verbose)
        self.model = trainer.fit(likes, validation=validation).model_
        return self

    def score(self, user_idx: int, item_idx: int | None = None) -> Any:
        """Score one item, or all items of training."""
        if self.is_unknown_user(user_idx):
            raise ScoreException(f"no score for the user {user_idx}, whom training did not have")
        if item_idx is not None and self.is_unknown_item(item_idx):
            raise ScoreException(f"no score for the item {item_idx}, which training did not have")
        items = np.arange(self.num_items) if item_idx is None else np.array([item_idx])
        users = np.full(items.size, user_idx)
        scores = -pair_distances(self.model.user_vectors, self.model.item_vectors, users, items)
        return scores if item_idx is None else scores[0]

    # For Cornac's approximate search:
    def get_vector_measure(self) -> str:
        return str(MEASURE_L2)

    def get_user_vectors(self) -> np.ndarray:
        return self.model.user_vectors

    def get_item_vectors(self) -> np.ndarray:
        return self.model.item_vectors
