"""The popularity bias that a training gives its model: see `Model.with_popularity_bias`."""

from __future__ import annotations

import numpy as np

from .._compute.settings import Settings
from ..metrics import popularity_bias


def weight_of(settings: Settings, *, has_features: bool) -> float:
    """The weight of the bias: the one that was set, or a default; 0: there is none.

    The temperature of ``settings`` is the one that was chosen.
    """
    if settings.popularity_weight is not None:
        return settings.popularity_weight
    if settings.loss != "softmax" or has_features:
        return 0.0
    return popularity_bias.CALIBRATED_SHARE * settings.temperature


def biased(
    user_vectors: np.ndarray,
    item_vectors: np.ndarray,
    user_counts: np.ndarray,
    item_counts: np.ndarray,
    weight: float,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors with the coordinate of the bias, or as they are if its weight is 0."""
    if weight == 0:
        return user_vectors, item_vectors
    expected: float | np.ndarray = 0.0
    if settings.loss == "softmax":
        expected = popularity_bias.expected_likes(
            user_vectors, item_vectors, user_counts, settings.temperature, settings.n_threads
        )
    log_ratios = popularity_bias.log_ratios(item_counts, expected)
    heights = popularity_bias.heights(log_ratios, weight)
    return popularity_bias.with_heights(user_vectors, item_vectors, heights)
