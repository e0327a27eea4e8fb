"""The data sets of the benchmarks, as (train, validation, test), and their items' features.

The public ones are read from ``--folder`` (by default ``../shared/data`` beside the checkout), laid
out as there: ``citeulike-t/{users,tag-item,tags}.dat``, ``gowalla/{train,valid,test}.txt``,
``ml-latest-small/{ratings,movies}.csv``. Any file of likes that the package reads is one, too, and
so are the kinds of `made_up`.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cml_fast.data import Features, Interactions, load_features, load_interactions, split

from . import made_up

DEFAULT_FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NAMES = ("citeulike-t", "gowalla", "ml-latest-small")
# citeulike-t with the count that begins each line taken for an item, as Hsieh et al. read it:
# 142,794 "ratings" instead of 134,860. Only for a comparison with their Table 2.
AS_PUBLISHED = "citeulike-t-as-published"
FOLDERS = {**{name: name for name in NAMES}, AS_PUBLISHED: "citeulike-t"}

Parts = tuple[Interactions, Interactions, Interactions]


def why_absent(name: str, folder: Path = DEFAULT_FOLDER) -> str | None:
    """What is to be done before ``name`` can be loaded; None: nothing."""
    if Path(name).is_file() or name in made_up.KINDS:
        return None
    if name not in FOLDERS:
        known = ", ".join([*FOLDERS, *made_up.KINDS])
        return f"{name!r} is neither a file of likes nor one of {known}"
    if not (folder / FOLDERS[name]).is_dir():
        return f"{name}: no folder {folder / FOLDERS[name]}; --folder names the one it is in"
    return None


def fingerprint(name: str) -> str | None:
    """Of the content of a file of likes, which can change while its name stays; None: no file."""
    return f"{zlib.crc32(Path(name).read_bytes()):08x}" if Path(name).is_file() else None


def load(name: str, folder: Path = DEFAULT_FOLDER, seed: int = 0) -> Parts:
    """Read one data set, or a file of likes.

    All but gowalla, which comes with its parts, are split 60/20/20 per user (Hsieh et al., section
    4.2) with ``seed``. Of ml-latest-small, a rating of 4 or more counts as a like (section 4.1).
    """
    if reason := why_absent(name, folder):
        raise SystemExit(reason)
    if Path(name).is_file():
        likes = load_interactions(name)
    elif name in made_up.KINDS:
        return made_up.load(name, seed)
    elif name == "gowalla":
        return _gowalla(folder / name)
    elif name in ("citeulike-t", AS_PUBLISHED):
        likes = load_interactions(
            folder / "citeulike-t" / "users.dat",
            format="citeulike",
            count_as_item=name == AS_PUBLISHED,
        )
    else:
        likes = load_interactions(
            folder / name / "ratings.csv",
            user="userId",
            item="movieId",
            rating="rating",
            min_rating=4,
        )
    train, validation, test = split(likes, (0.6, 0.2, 0.2), random_state=seed)
    return train, validation, test


def features(name: str, item_ids: ArrayLike, folder: Path = DEFAULT_FOLDER) -> Features:
    """Read features of the items of one data set.

    Those of citeulike-t are the tags of at least 5 papers (Hsieh et al., section 4.1), those of
    ml-latest-small the genres. gowalla has none.
    """
    if name in ("citeulike-t", AS_PUBLISHED):
        return load_features(
            folder / "citeulike-t" / "tag-item.dat",
            names_file=folder / "citeulike-t" / "tags.dat",
            count_as_item=name == AS_PUBLISHED,
            ids=item_ids,
            min_count=5,
        )
    if name == "ml-latest-small":
        # Most of the films that are left out have no rating of 4 or more.
        return load_features(
            folder / name / "movies.csv", format="genres", ids=item_ids, unknown="drop"
        )
    raise ValueError(f"no features for data set {name!r}")


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
