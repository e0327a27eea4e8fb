"""Segments of users and items, by their numbers of likes in training."""

from __future__ import annotations

import numpy as np


def user_segments(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return which users have no, few or many likes, as bool (n_users,), by name.

    Few is up to the median of the users who have likes.
    """
    liked = counts > 0
    middle = np.median(counts[liked]) if liked.any() else 0
    return {
        "users without likes": ~liked,
        "users with few likes": liked & (counts <= middle),
        "users with many likes": counts > middle,
    }


def item_segments(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return which items have no likes, are popular or rare, as bool (n_items,), by name.

    The popular ones are the fewest items that have half of all likes.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    popular = np.zeros(len(counts), dtype=bool)
    popular[order] = before < counts.sum() / 2
    popular &= counts > 0
    return {
        "items without likes": counts == 0,
        "rare items": (counts > 0) & ~popular,
        "popular items": popular,
    }
