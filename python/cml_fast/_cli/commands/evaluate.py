"""``cml-fast evaluate``: measure recall, NDCG and other metrics on held-out interactions."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..._evaluation.plan import COLD
from ...evaluation import evaluate
from ...metrics import DEFAULT_METRICS, METRICS
from ...model import Model
from ..files import load_known
from ..output import Outcome
from ..parsing import Command, Parser, add_model, add_reader_options

_DEFAULT_LENGTHS = (10, 50, 100)


def _add_options(parser: Parser) -> None:
    add_model(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="the held-out interactions")
    parser.add_argument(
        "--exclude",
        metavar="FILE",
        type=Path,
        nargs="+",
        default=[],
        help="interactions to leave out of the rankings: those of training and validation",
    )
    parser.add_argument(
        "--k",
        metavar="K,...",
        type=_lengths,
        default=_DEFAULT_LENGTHS,
        help=f"lengths of the rankings (default: {','.join(map(str, _DEFAULT_LENGTHS))})",
    )
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        type=lambda text: text.split(","),
        default=DEFAULT_METRICS,
        help=f"some of {', '.join(METRICS)} (default: {','.join(DEFAULT_METRICS)})",
    )
    parser.add_argument(
        "--cold-users",
        choices=COLD,
        default=COLD[0],
        help="include or exclude users without likes in training (default: %(default)s)",
    )
    add_reader_options(parser)


def _lengths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be like 10,50,100, got {text!r}") from None


def _run(args: argparse.Namespace) -> Outcome:
    model = Model.load(args.model)
    test = load_known(args, args.file, model.user_ids, model.item_ids)
    exclude = [load_known(args, file, model.user_ids, model.item_ids) for file in args.exclude]
    evaluation = evaluate(
        model, test, exclude, args.k, metrics=args.metrics, cold_users=args.cold_users
    )
    return evaluation.to_dict(), str(evaluation)


COMMAND = Command(
    "evaluate",
    help="measure recall and NDCG on held-out interactions",
    example="demo-output/model demo-output/test.csv \\\n"
    "    --exclude demo-output/train.csv demo-output/validation.csv",
    add_options=_add_options,
    run=_run,
)
