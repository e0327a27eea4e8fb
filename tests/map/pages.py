"""What the tests of the map share: a model with a plain structure, and what a page holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Model
from cml_fast._map.payload import decode

N_GROUPS, OF_A_GROUP, N_DIMS = 12, 15, 8


def grouped_vectors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points around centres in more dimensions than a plane has, and their groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(N_GROUPS), OF_A_GROUP)
    centres = rng.normal(size=(N_GROUPS, N_DIMS))
    points = centres[groups] + 0.25 * rng.normal(size=(len(groups), N_DIMS))
    return points.astype(np.float32), groups


def small_model(n_users: int = 30) -> tuple[Model, sp.csr_array]:
    """Return a model of items "item-000", ... and users "user-00", ..., and its likes."""
    items, _ = grouped_vectors()
    rng = np.random.default_rng(1)
    liked = rng.integers(0, len(items), (n_users, 4))
    likes = sp.csr_array(
        (np.ones(liked.size), (np.repeat(np.arange(n_users), 4), liked.ravel())),
        shape=(n_users, len(items)),
    )
    likes.sum_duplicates()
    likes.data[:] = 1
    model = Model(
        items[liked].mean(axis=1),
        items,
        item_ids=[f"item-{row:03}" for row in range(len(items))],
        user_ids=[f"user-{row:02}" for row in range(n_users)],
        user_counts=np.diff(likes.indptr),
        item_counts=np.bincount(likes.indices, minlength=len(items)),
    )
    return model, likes


def content_of(page: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays that a page was given."""
    found = re.search(r'id="data">([^<]*)<', page.read_text())
    assert found is not None
    return decode(found[1])
