"""The likes to train on: public data sets, files, and synthetic ones of gowalla's size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cml_fast.data import split, synthetic

from ..common import datasets

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Size:
    n_users: int
    n_items: int
    n_pairs: int

    def times(self, scale: float) -> Size:
        return Size(
            *(max(100, round(scale * n)) for n in (self.n_users, self.n_items, self.n_pairs))
        )


GOWALLA = Size(30_000, 41_000, 800_000)  # nearly fits the cache of a large GPU
LARGE = Size(1_000_000, 500_000, 20_000_000)


def load(name: str, folder: Path, scale: float = 1.0) -> tuple[sp.csr_array, sp.csr_array]:
    """Likes to train on, and likes to validate with."""
    if name == SYNTHETIC:
        size = GOWALLA.times(scale)
        made = synthetic(size.n_users, size.n_items, size.n_pairs).interactions
        train, validation, _ = split(made, (0.6, 0.2, 0.2), random_state=0)
    else:
        train, validation, _ = datasets.load(name, folder)
    return train.matrix, validation.matrix


@lru_cache(maxsize=1)
def random_likes(size: Size) -> sp.csr_array:
    """Likes of more and less popular items; slightly fewer than asked for."""
    rng = np.random.default_rng(0)
    users = rng.integers(size.n_users, size=size.n_pairs)
    items = (size.n_items * rng.random(size.n_pairs) ** 2).astype(np.int64)
    pairs = np.sort(users * size.n_items + items)
    pairs = pairs[np.append(True, np.diff(pairs) > 0)]  # much faster than np.unique
    weights = np.ones(len(pairs), dtype=np.float32)
    indptr = np.searchsorted(pairs, np.arange(size.n_users + 1) * size.n_items).astype(np.int32)
    indices = (pairs % size.n_items).astype(np.int32)
    return sp.csr_array((weights, indices, indptr), shape=(size.n_users, size.n_items))
