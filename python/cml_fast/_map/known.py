"""What a map shows of items and users besides where they are, checked and put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._validation.scalars import check_choice
from ..data._alignment import interaction_rows
from ..data._ids import IdIndex
from ..data.features import Features
from . import pictures
from . import tags as item_tags
from .columns import Columns, moments, texts
from .raw_features import feature_vectors

COLOURS = ("auto", "tag", "cluster", "popularity", "date")
# What has to be given for a colour.
_NEEDED = {
    "tag": "tags=..., or features with names",
    "popularity": "likes=...",
    "date": "dates=...",
}


@dataclass(frozen=True)
class Learned:
    """What a map needs of a model: its vectors and ids, and its likes in training if known."""

    items: IdIndex
    users: IdIndex
    item_vectors: np.ndarray
    user_vectors: np.ndarray
    item_counts: np.ndarray | None
    user_counts: np.ndarray | None


@dataclass(frozen=True)
class Given:
    """The arguments of `Model.map` that say what is known of the items."""

    item_metadata: Any
    id_column: str
    unknown: str
    names: Any
    tags: Any
    tag_separator: str
    dates: Any
    images: Any
    likes: Any
    features: Any
    colour: str


@dataclass(frozen=True)
class Known:
    """What is known, with a place for each item.

    Attributes
    ----------
    names : list of str
    tags : Tags or None
    dates : numpy.ndarray, (n_items,), float64, or None
        NaN where there is none.
    dates_are_days : bool
        Whether they are days since 1970 instead of plain numbers.
    pictures : dict of int to str
        The address of the picture of an item, by row.
    picture_origins : list of str
    likes : scipy.sparse.csr_array, (n_users, n_items), or None
    item_counts, user_counts : numpy.ndarray, (n_items,) and (n_users,), int64, or None
        How many likes each has.
    features : tuple of numpy.ndarray, or None
        Vectors, (m, r), of the items that have features, and their rows, (m,).
    colour : str
        What colours the items at first.
    """

    names: list[str]
    tags: item_tags.Tags | None
    dates: np.ndarray | None
    dates_are_days: bool
    pictures: dict[int, str]
    picture_origins: list[str]
    likes: sp.csr_array | None
    item_counts: np.ndarray | None
    user_counts: np.ndarray | None
    features: tuple[np.ndarray, np.ndarray] | None
    colour: str


def know(learned: Learned, given: Given, seed: int) -> Known:
    """Return what is known of a model's items, or raise the errors of `Model.map`."""
    check_choice("colour", given.colour, COLOURS)
    columns = Columns(learned.items, given.item_metadata, given.id_column, given.unknown)
    names = texts(columns.values("names", given.names), learned.items.array.tolist())
    moment_values = columns.values("dates", given.dates)
    dates, are_days = (None, False)
    if moment_values is not None:
        dates, are_days = moments("dates", moment_values)
    addresses, origins = pictures.collect(columns.values("images", given.images) or [])
    likes, item_counts, user_counts = None, learned.item_counts, learned.user_counts
    if given.likes is not None:
        every = np.arange(len(learned.user_vectors))
        ids = learned.users.array, learned.items.array
        likes = interaction_rows("likes", given.likes, every, *ids, stacklevel=5)
        item_counts = np.bincount(likes.indices, minlength=likes.shape[1])
        user_counts = np.diff(likes.indptr).astype(np.int64)
    tags = _tags(columns, given, learned.items)
    features = None
    if given.features is not None:
        features = feature_vectors(given.features, learned.items, seed)
    there = {"tag": tags, "popularity": item_counts, "date": dates, "cluster": names}
    colour = given.colour
    if colour == "auto":
        colour = "cluster" if tags is None else "tag"
    elif there[colour] is None:
        raise ValueError(f"colour={colour!r} needs {_NEEDED[colour]}")
    return Known(
        names=names,
        tags=tags,
        dates=dates,
        dates_are_days=are_days,
        pictures=addresses,
        picture_origins=origins,
        likes=likes,
        item_counts=item_counts,
        user_counts=user_counts,
        features=features,
        colour=colour,
    )


def _tags(columns: Columns, given: Given, items: IdIndex) -> item_tags.Tags | None:
    if isinstance(given.tags, Features):
        return item_tags.collect(item_tags.from_features(given.tags, items, "tags"))
    values = columns.values("tags", given.tags)
    if values is not None:
        return item_tags.collect(item_tags.from_values(values, given.tag_separator))
    if isinstance(given.features, Features):
        return item_tags.collect(item_tags.from_features(given.features, items, "features"))
    return None
