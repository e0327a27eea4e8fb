"""The popularity bias that a training gives its model: see `Model.with_popularity_bias`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._compute.settings import Settings
from ..metrics import popularity_bias
from ..metrics.expected_likes import expected_shares, sample_of_users


def weight_of(settings: Settings, *, has_features: bool) -> float:
    """The weight of the bias: the one that was set, or a default; 0: there is none.

    The temperature of ``settings`` is the one that was chosen.
    """
    if settings.popularity_weight is not None:
        return settings.popularity_weight
    if settings.loss != "softmax" or has_features:
        return 0.0
    return popularity_bias.CALIBRATED_SHARE * settings.temperature


@dataclass(frozen=True)
class PopularityBias:
    """A popularity bias, calibrated if the loss is the softmax.

    Attributes
    ----------
    weight : float
        Above 0.
    settings : Settings
        With the temperature that was chosen.
    user_counts, item_counts : numpy.ndarray, (n_users,) and (n_items,), int64
        How many likes each has.
    """

    weight: float
    settings: Settings
    user_counts: np.ndarray
    item_counts: np.ndarray

    @cached_property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """The users by whom to tell how many likes a model expects: rows, and shares of likes."""
        return sample_of_users(self.user_counts, len(self.item_counts))

    def heights(self, sampled: np.ndarray, item_vectors: np.ndarray) -> np.ndarray:
        """The coordinate of each item, by the vectors of the sampled users: (n_items,)."""
        expected: float | np.ndarray = 0.0
        if self.settings.loss == "softmax":
            expected = self.item_counts.sum() * expected_shares(
                sampled,
                item_vectors,
                self.sample[1],
                self.settings.temperature,
            )
        log_ratios = popularity_bias.log_ratios(self.item_counts, expected)
        return popularity_bias.heights(log_ratios, self.weight)

    def add_to(
        self, user_vectors: np.ndarray, item_vectors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The vectors with one more coordinate."""
        heights = self.heights(user_vectors[self.sample[0]], item_vectors)
        return popularity_bias.with_heights(user_vectors, item_vectors, heights)
