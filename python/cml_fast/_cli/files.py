"""Reading the files and ids that commands are given."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..data import Interactions, load_interactions
from ..data._ids import IdIndex
from ..errors import DataError
from .output import note


def load(args: argparse.Namespace, file: Path) -> Interactions:
    """Read interactions by the options of `parsing.add_reader_options`."""
    note(f"reading {file}")
    return load_interactions(
        file,
        format=args.format,
        user=args.user_column,
        item=args.item_column,
        rating=args.rating_column,
        min_rating=args.min_rating,
        weight=args.weight_column,
        delimiter=args.delimiter,
        header=not args.no_header,
        count_as_item=args.count_as_item,
    )


def load_known(
    args: argparse.Namespace, file: Path, user_ids: np.ndarray, item_ids: np.ndarray
) -> Interactions:
    """Read the interactions between these users and items; others are counted and left out.

    Files that were split by chance or by time always have a few users and items that the training
    data do not have.
    """
    found = load(args, file)
    pairs = found.matrix.tocoo()
    users = IdIndex("user", user_ids).find(found.user_ids)[pairs.row]
    items = IdIndex("item", item_ids).find(found.item_ids)[pairs.col]
    known = (users >= 0) & (items >= 0)
    if not known.any():
        raise DataError(f"{file} has no interaction between users and items of the training")
    if not known.all():
        note(
            f"warning: {file}: {np.count_nonzero(~known):,} of {known.size:,} interactions left "
            "out, their user or item was not in training"
        )
    matrix = sp.csr_array(
        (pairs.data[known], (users[known], items[known])), shape=(len(user_ids), len(item_ids))
    )
    return Interactions(matrix, user_ids, item_ids)


def rows_of(what: str, ids: np.ndarray, texts: list[str], hint: str = "") -> np.ndarray:
    """Return the row number of each id from the command line, where every id is a text.

    ``what`` is "user" or "item", and ``hint`` is added to the error about unknown ids.
    """
    rows = IdIndex(what, ids).find(np.array(texts))
    unknown = [text for text, row in zip(texts, rows, strict=True) if row < 0]
    if unknown:
        raise ValueError(
            f"the model has no {what} {', '.join(map(repr, unknown))}; its {len(ids):,} {what} "
            f"ids are like {ids[0]}{hint}"
        )
    return rows
