"""The public data sets of the benchmarks, as (train, validation, test).

They are read from ``--data`` (by default the folder ``../shared/data`` beside the checkout), laid
out as there: ``citeulike-t/users.dat``, ``gowalla/{train,valid,test}.txt``,
``ml-latest-small/ratings.csv``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cml_fast.data import Interactions, load_interactions, split

DEFAULT_FOLDER = Path(__file__).resolve().parents[1].parent / "shared" / "data"
NAMES = ("citeulike-t", "gowalla", "ml-latest-small")

Parts = tuple[Interactions, Interactions, Interactions]


def load(name: str, folder: Path = DEFAULT_FOLDER, seed: int = 0) -> Parts:
    """Read one data set.

    citeulike-t and ml-latest-small are split 60/20/20 per user (Hsieh et al., section 4.2) with
    ``seed``; a rating of 4 or more counts as a like (section 4.1). gowalla comes with its parts.
    """
    if name == "gowalla":
        return _gowalla(folder / name)
    if name == "citeulike-t":
        likes = load_interactions(folder / name / "users.dat", format="counted")
    elif name == "ml-latest-small":
        likes = load_interactions(
            folder / name / "ratings.csv",
            user="userId",
            item="movieId",
            rating="rating",
            min_rating=4,
        )
    else:
        raise ValueError(f"unknown data set {name!r}; choose from {NAMES}")
    train, validation, test = split(likes, (0.6, 0.2, 0.2), random_state=seed)
    return train, validation, test


def _gowalla(folder: Path) -> Parts:
    files = [folder / f"{part}.txt" for part in ("train", "valid", "test")]
    alone = [load_interactions(file, format="adjacency") for file in files]
    users, items = (
        np.unique(np.concatenate([getattr(part, ids) for part in alone]))
        for ids in ("user_ids", "item_ids")
    )
    train, validation, test = (
        load_interactions(file, format="adjacency", user_ids=users, item_ids=items)
        for file in files
    )
    return train, validation, test
