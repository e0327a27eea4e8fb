"""``cml-fast recommend``: recommend items to a user of the model, or to a new person."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ...model import COLD_USERS, Model
from ..files import load_known, rows_of
from ..output import Outcome, ranking
from ..parsing import Command, Parser, add_model, add_n, add_reader_options


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
    add_n(parser)
    parser.add_argument(
        "--exclude",
        metavar="FILE",
        type=Path,
        help="with --user: interactions not to recommend again",
    )
    parser.add_argument(
        "--cold-users",
        choices=COLD_USERS,
        default=COLD_USERS[0],
        help="with --user: what a user without likes in training gets: popular items, an error, or "
        "what is near to a vector that says nothing (default: %(default)s)",
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
    if args.likes is not None:
        return _recommend_to_new_person(args)
    model = Model.load(args.model)
    user = rows_of("user", model.user_ids, [args.user])[0]
    exclude = None
    if args.exclude:
        exclude = load_known(args, args.exclude, model.user_ids, model.item_ids)
    found = model.recommend(user, args.n, exclude, cold_users=args.cold_users)
    return ranking({"user": model.user_ids[[user]].tolist()[0]}, "item", model.item_ids, found)


def _recommend_to_new_person(args: argparse.Namespace) -> Outcome:
    if args.exclude:
        raise ValueError("--exclude needs --user: of --likes nothing is recommended anyway")
    model = Model.load(args.model)
    hint = "; leave out what training had not, and put double quotes around an id with commas"
    found = rows_of("item", model.item_ids, args.likes, hint)
    rows = np.unique(found)  # a like given twice is one
    likes = sp.csr_array(
        (np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape=(1, len(model.item_ids))
    )
    vector = model.fold_in_users(likes)[0]
    asked = {"likes": model.item_ids[rows].tolist()}
    nearest = model.recommend_from_vectors(vector, args.n, likes)
    return ranking(asked, "item", model.item_ids, nearest)


COMMAND = Command(
    "recommend",
    help="recommend items to a user, or to a person whom the model has never seen",
    example="demo-output/model --user user-00012 --exclude demo-output/train.csv\n"
    "  cml-fast recommend demo-output/model --likes blues-0003,blues-0011,disco-0002",
    add_options=_add_options,
    run=_run,
)
