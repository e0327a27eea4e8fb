"""Reading the files and ids that commands are given."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Interactions, load_interactions
from ..data._ids import IdIndex
from .output import note

# As a file: what is piped to the command.
STDIN = "-"


def load(args: argparse.Namespace, file: Path, **known: Any) -> Interactions:
    """Read interactions by the options of `parsing.add_reader_options`.

    ``known`` are further arguments of `load_interactions`.
    """
    note(f"reading {file}")
    return load_interactions(
        sys.stdin.buffer if str(file) == STDIN else file,
        format=args.format,
        user=args.user_column,
        item=args.item_column,
        rating=args.rating_column,
        min_rating=args.min_rating,
        weight=args.weight_column,
        timestamp=args.timestamp_column,
        where=args.where,
        delimiter=args.delimiter,
        header=args.header,
        quoting=args.quoting,
        encoding=args.encoding,
        missing=args.missing,
        on_bad_lines=args.on_bad_lines,
        count_as_item=args.count_as_item,
        **known,
    )


def load_known(
    args: argparse.Namespace, file: Path, user_ids: np.ndarray, item_ids: np.ndarray
) -> Interactions:
    """Read the interactions between these users and items; others are counted and left out.

    Files that were split by chance or by time always have a few users and items that the training
    data do not have.
    """
    return load(args, file, user_ids=user_ids, item_ids=item_ids, unknown=args.unknown)


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
