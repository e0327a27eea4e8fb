"""The tags of items: which are shown, and which one colours an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..data._ids import IdIndex
from ..data.features import Features
from ..errors import DataError
from .columns import shortened

# A page shows so many tags of an item, those with the largest weights or the first ones.
_TAGS_OF_AN_ITEM = 8


@dataclass(frozen=True)
class Tags:
    """The tags that a page shows.

    Attributes
    ----------
    names : list of str
        The most frequent first.
    starts : numpy.ndarray, (n_items + 1,), int32
    indices : numpy.ndarray, int32
        The tags of item i are ``indices[starts[i]:starts[i + 1]]``, its main one first.
    """

    names: list[str]
    starts: np.ndarray
    indices: np.ndarray

    def items(self, tag: int) -> np.ndarray:
        """Return the rows of the items that have a tag."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return np.asarray(owners[self.indices == tag])


def collect(per_item: Sequence[Sequence[str]]) -> Tags | None:
    """Return the tags of items, None if there are none at all."""
    shown = [list(dict.fromkeys(tags))[:_TAGS_OF_AN_ITEM] for tags in per_item]
    counts = Counter(tag for tags in shown for tag in tags)
    if not counts:
        return None
    names = sorted(counts, key=lambda tag: (-counts[tag], tag))
    number = {tag: at for at, tag in enumerate(names)}
    starts = np.zeros(len(shown) + 1, dtype=np.int32)
    starts[1:] = np.cumsum([len(tags) for tags in shown])
    indices = np.array([number[tag] for tags in shown for tag in tags], dtype=np.int32)
    return Tags([shortened(name) for name in names], starts, indices)


def from_values(values: Sequence[Any], separator: str) -> list[list[str]]:
    """Return the tags of each item from lists of str, or from str that are to be split."""
    found = []
    for value in values:
        if isinstance(value, str):
            value = value.split(separator) if separator else [value]
        elif value is None or isinstance(value, float):  # NaN, for a missing text
            value = []
        elif not isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
            raise DataError(f"tags must be texts or lists of texts for each item, got {value!r}")
        ordered = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        found.append([text for text in (str(tag).strip() for tag in ordered) if text])
    return found


def from_features(features: Features, items: IdIndex, argument: str) -> list[list[str]]:
    """Return the names of the features of each item, those with the largest weights first."""
    matrix = aligned(features, items, argument)
    names = [str(name) for name in features.names.tolist()]
    # Of features with one weight, the rarest says most of an item.
    order = np.bincount(matrix.indices, minlength=matrix.shape[1])
    found = []
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        columns, weights = matrix.indices[start:stop], matrix.data[start:stop]
        found.append([names[at] for at in columns[np.lexsort((order[columns], -weights))]])
    return found


def aligned(features: Features, items: IdIndex, name: str) -> sp.csr_array:
    """Return the matrix of features with a row for each item, empty where it has none."""
    matrix, n_items = features.matrix, len(items.array)
    if features.ids is None:
        if matrix.shape[0] != n_items:
            raise DataError(f"{name} must have {n_items} rows, got {matrix.shape[0]}")
        return matrix
    rows = items.find(features.ids)
    pairs = matrix.tocoo()
    kept = rows[pairs.row] >= 0
    if not kept.any():
        raise DataError(f"{name} has no feature of any item of the model: its ids are others")
    columns = rows[pairs.row[kept]], pairs.col[kept]
    return sp.csr_array((pairs.data[kept], columns), shape=(n_items, matrix.shape[1]))
