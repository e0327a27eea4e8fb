"""``cml-fast recommend``: recommend items to a user of the model, to a new person, or to all."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..._persistence.parts import FORMATS
from ...data import Interactions
from ...model import COLD_USERS, Model
from ..files import load_known, rows_of
from ..output import Outcome, note, ranking
from ..parsing import Command, Parser, add_model, add_n, add_reader_options

_HINT = "; leave out what training had not, and put double quotes around an id with commas"


def _add_options(parser: Parser) -> None:
    add_model(parser)
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--user", metavar="ID", help="the user's id")
    whom.add_argument(
        "--likes",
        metavar="ID,...",
        type=_ids,
        action="extend",
        help="ids of items that a new person likes; quoted as in CSV where they have commas: "
        "'a,\"b, c\"'",
    )
    whom.add_argument("--all", action="store_true", help="all users: write a file, see --out")
    add_n(parser)
    parser.add_argument(
        "--exclude",
        metavar="FILE",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="with --user and --all: interactions not to recommend again",
    )
    parser.add_argument(
        "--items",
        metavar="ID,...",
        type=_ids,
        action="extend",
        help="recommend only some of these items",
    )
    parser.add_argument(
        "--filter-items",
        metavar="ID,...",
        type=_ids,
        action="extend",
        help="recommend none of these items",
    )
    parser.add_argument(
        "--cold-users",
        choices=COLD_USERS,
        default=COLD_USERS[0],
        help="with --user and --all: what a user without likes in training gets: popular items, an "
        "error, or what is near to a vector that says nothing (default: %(default)s)",
    )
    group = parser.add_argument_group("with --all")
    group.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"the file to write, a table that ends in {', '.join(FORMATS)}; if that is "
        "interrupted, the same command goes on from the parts in FILE.parts",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace the file if it is there already"
    )
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to search (default: %(default)s)",
    )
    add_reader_options(parser)


def _ids(text: str) -> list[str]:
    """Split at commas, but not within double quotes: a line of CSV."""
    try:
        (ids,) = csv.reader([text], strict=True)
    except csv.Error:
        ids = []
    if not ids:
        raise argparse.ArgumentTypeError(f'must be like a,b,"c, d", got {text!r}')
    return ids


def _run(args: argparse.Namespace) -> Outcome:
    if args.all != (args.out is not None):
        raise ValueError("--all needs --out FILE" if args.all else "--out needs --all")
    if args.overwrite and not args.all:
        raise ValueError("--overwrite needs --all")
    if args.likes is not None and args.exclude:
        raise ValueError("--exclude needs --user or --all: of --likes nothing is recommended")
    model = Model.load(args.model)
    filters: dict[str, Any] = {
        name: None if ids is None else rows_of("item", model.item_ids, ids, _HINT)
        for name, ids in (("items", args.items), ("filter_items", args.filter_items))
    }
    if args.likes is not None:
        return _recommend_to_new_person(args, model, filters)
    exclude = [load_known(args, file, model.user_ids, model.item_ids) for file in args.exclude]
    if args.all:
        return _recommend_to_all(args, model, exclude, filters)
    user = rows_of("user", model.user_ids, [args.user])[0]
    found = model.recommend(user, args.n, exclude, **filters, cold_users=args.cold_users)
    return _shown({"user": model.user_ids[[user]].tolist()[0]}, model, found)


def _recommend_to_new_person(
    args: argparse.Namespace, model: Model, filters: dict[str, Any]
) -> Outcome:
    found = rows_of("item", model.item_ids, args.likes, _HINT)
    rows = np.unique(found)  # a like given twice is one
    likes = sp.csr_array(
        (np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape=(1, len(model.item_ids))
    )
    vector = model.fold_in_users(likes)[0]
    asked = {"likes": model.item_ids[rows].tolist()}
    return _shown(asked, model, model.recommend_from_vectors(vector, args.n, likes, **filters))


def _recommend_to_all(
    args: argparse.Namespace, model: Model, exclude: list[Interactions], filters: dict[str, Any]
) -> Outcome:
    try:
        model.recommend_all(
            args.out,
            args.n,
            exclude,
            **filters,
            cold_users=args.cold_users,
            device=args.device,
            overwrite=args.overwrite,
            progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        note(f"the same command goes on from the parts in {args.out}.parts")
        raise
    result = {"out": str(args.out), "n_users": len(model.user_ids), "n": args.n}
    text = f"up to {args.n} recommendations for each of {result['n_users']:,} users in {args.out}"
    return result, text


def _shown(asked: dict[str, Any], model: Model, found: tuple[np.ndarray, np.ndarray]) -> Outcome:
    if found[0][0] < 0:
        note("nothing is left to recommend: all items are excluded")
    return ranking(asked, "item", model.item_ids, found)


COMMAND = Command(
    "recommend",
    help="recommend items to a user, to a person whom the model has never seen, or to all users",
    example="demo-output/model --user user-00012 --exclude demo-output/train.csv\n"
    "  cml-fast recommend demo-output/model --likes blues-0003,blues-0011,disco-0002\n"
    "  cml-fast recommend demo-output/model --all --out recommendations.parquet",
    add_options=_add_options,
    run=_run,
)
