"""``cml-fast similar``: find the items near an item, or the users near a user."""

from __future__ import annotations

import argparse

from ...model import Model
from ..files import rows_of
from ..output import Outcome, ranking
from ..parsing import Command, Parser, add_model, add_n


def _add_options(parser: Parser) -> None:
    add_model(parser)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--item", metavar="ID", help="the item's id")
    asked.add_argument("--user", metavar="ID", help="the user's id")
    add_n(parser)


def _run(args: argparse.Namespace) -> Outcome:
    model = Model.load(args.model)
    if args.item is not None:
        what, ids = "item", model.item_ids
        row = rows_of(what, ids, [args.item])[0]
        found = model.similar_items(row, args.n)
    else:
        what, ids = "user", model.user_ids
        row = rows_of(what, ids, [args.user])[0]
        found = model.similar_users(row, args.n)
    return ranking({what: ids[[row]].tolist()[0]}, what, ids, found)


COMMAND = Command(
    "similar",
    help="find the items near an item, or the users near a user",
    example="demo-output/model --item blues-0003",
    add_options=_add_options,
    run=_run,
)
