"""The command ``cml-fast``: its options and its exit codes."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from .._training.hyperparameters import HYPERPARAMETERS
from ..data._readers.formats import formats_of
from ..data._readers.pairs import FEATURES, INTERACTIONS
from ..errors import DataError, DeviceUnavailable, ModelError, TrainingDiverged
from . import commands

_EPILOG = """\
Results go to stdout, progress and messages to stderr. Exit codes:
  0    success
  1    training diverged, or an unexpected failure
  2    wrong usage: an option, its value, or an id that the model does not have
  3    a file, a folder or a model that cannot be read, used or written
  4    the device asked for is not available
  130  interrupted
  141  the reader of the output went away

example, without any data of your own:
  cml-fast demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, print its result, and return the exit code."""
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_: commands.note(f"warning: {message}")
            result, text = args.run(args)
        print(json.dumps(result, indent=2) if args.json else text, flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        commands.note("interrupted")
        return 130
    except Exception as error:
        code, message = _explain(error)
        commands.note(f"error: {message}")
        return code
    return 0


def _explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message for an error."""
    match error:
        case OSError(filename=str(file), strerror=str(reason)):
            return 3, f"{file}: {reason}"
        case DeviceUnavailable():
            return 4, str(error)
        case DataError() | ModelError() | OSError():
            return 3, str(error)
        case ValueError() | TypeError():
            return 2, str(error)
        case TrainingDiverged():
            return 1, str(error)
    return 1, f"unexpected {type(error).__name__}: {error}"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are of one line, and raised."""

    def __init__(self, **options: Any) -> None:
        # Without abbreviations: --user is not --user-column.
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser() -> _Parser:
    parser = _Parser(
        prog="cml-fast",
        description="Recommendations by Collaborative Metric Learning (Hsieh et al., WWW 2017):\n"
        "users and items become points, and the items near a user are recommended.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"cml-fast {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(run: Callable[..., commands.Outcome], help: str, example: str) -> _Parser:
        name = run.__name__
        added: _Parser = subparsers.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=f"example:\n  cml-fast {name} {example}",
        )
        added.add_argument("--json", action="store_true", help="print one JSON document")
        added.set_defaults(run=run)
        return added

    train = command(
        commands.train,
        "learn a model from a file of interactions",
        "ratings.csv --rating-column rating --min-rating 4 \\\n"
        "    --validation-share 0.1 --patience 3 --out model",
    )
    train.add_argument("file", metavar="FILE", type=Path, help="who liked what")
    train.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to save")
    validation = train.add_mutually_exclusive_group()
    validation.add_argument(
        "--validation", metavar="FILE", type=Path, help="interactions to measure every epoch by"
    )
    validation.add_argument(
        "--validation-share",
        metavar="X",
        type=_share,
        help="take this share of each user's interactions for that, such as 0.1",
    )
    _add_features(train)
    _add_checkpoint(train)
    _add_hyperparameters(train)
    _add_reader_options(train)

    evaluate = command(
        commands.evaluate,
        "measure recall and NDCG on held-out interactions",
        "demo-output/model demo-output/test.csv \\\n"
        "    --exclude demo-output/train.csv demo-output/validation.csv",
    )
    _add_model(evaluate)
    evaluate.add_argument("file", metavar="FILE", type=Path, help="the held-out interactions")
    evaluate.add_argument(
        "--exclude",
        metavar="FILE",
        type=Path,
        nargs="+",
        default=[],
        help="interactions to leave out of the rankings: those of training and validation",
    )
    evaluate.add_argument(
        "--k",
        metavar="K,...",
        type=_lengths,
        default=(10, 50, 100),
        help="lengths of the rankings (default: 10,50,100)",
    )
    _add_reader_options(evaluate)

    recommend = command(
        commands.recommend,
        "recommend items to a user, or to a person whom the model has never seen",
        "demo-output/model --user user-00012 --exclude demo-output/train.csv\n"
        "  cml-fast recommend demo-output/model --likes blues-0003,blues-0011,disco-0002",
    )
    _add_model(recommend)
    whom = recommend.add_mutually_exclusive_group(required=True)
    whom.add_argument("--user", metavar="ID", help="the user's id")
    whom.add_argument(
        "--likes",
        metavar="ID,...",
        type=_ids,
        action="extend",
        help="ids of items that a new person likes; quoted as in CSV where they have commas: "
        "'a,\"b, c\"'",
    )
    _add_n(recommend)
    recommend.add_argument(
        "--exclude",
        metavar="FILE",
        type=Path,
        help="with --user: interactions not to recommend again",
    )
    _add_reader_options(recommend)

    similar = command(
        commands.similar,
        "find the items near an item, or the users near a user",
        "demo-output/model --item blues-0003",
    )
    _add_model(similar)
    asked = similar.add_mutually_exclusive_group(required=True)
    asked.add_argument("--item", metavar="ID", help="the item's id")
    asked.add_argument("--user", metavar="ID", help="the user's id")
    _add_n(similar)

    info = command(
        commands.info,
        "show what this build can do, and what a model holds",
        "demo-output/model",
    )
    info.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="the model's folder")

    demo = command(
        commands.demo,
        "train on made-up likes or your own, compare with baselines, and draw a map",
        "--out demo-output",
    )
    demo.add_argument(
        "--data", metavar="FILE", type=Path, help="your interactions (default: made-up ones)"
    )
    demo.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo-output"),
        help="where to write the model and the map (default: %(default)s)",
    )
    _add_reader_options(demo)
    return parser


def _add_model(parser: _Parser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="the model's folder")


def _add_n(parser: _Parser) -> None:
    parser.add_argument(
        "--n", metavar="N", type=int, default=10, help="how many to show (default: %(default)s)"
    )


def _add_checkpoint(parser: _Parser) -> None:
    group = parser.add_argument_group("going on after an interruption")
    group.add_argument(
        "--checkpoint",
        metavar="DIR",
        type=Path,
        help="a folder to keep all in that is needed to go on",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="X",
        type=float,
        default=1.0,
        help="write it so often: in epochs, such as 0.1 (default: %(default)s)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint if there is one, else begin; with the same files and "
        "options; only --device and --n-threads may differ",
    )


def _add_features(parser: _Parser) -> None:
    group = parser.add_argument_group("what is known of items and users")
    for side in ("item", "user"):
        group.add_argument(
            f"--{side}-features",
            metavar="FILE",
            type=Path,
            help=f"tags, genres or other features of {side}s, which help to place them",
        )
    group.add_argument(
        "--feature-format",
        choices=("auto", *formats_of(FEATURES)),
        default="auto",
        help="what these files are (default: by their extensions)",
    )
    group.add_argument(
        "--feature-names", metavar="FILE", type=Path, help="with citeulike: the tags' names"
    )
    group.add_argument(
        "--feature-min-count",
        metavar="N",
        type=int,
        default=0,
        help="only features of at least so many (default: %(default)s)",
    )


def _add_hyperparameters(parser: _Parser) -> None:
    group = parser.add_argument_group("training")
    metavars = {int: "N", float: "X", str: "NAME"}
    for name, row in HYPERPARAMETERS.items():
        if row.kind is None:
            continue
        default = row.signature_default
        group.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavars[row.kind],
            type=row.kind,
            default=default,
            help=row.help if default is None else f"{row.help} (default: {default})",
        )


def _add_reader_options(parser: _Parser) -> None:
    group = parser.add_argument_group("reading files")
    group.add_argument(
        "--format",
        choices=("auto", *formats_of(INTERACTIONS)),
        default="auto",
        help="what the file is (default: by its extension)",
    )
    for role, help in (
        ("user", "user ids"),
        ("item", "item ids"),
        ("rating", "ratings, compared with --min-rating"),
        ("weight", "weights"),
    ):
        group.add_argument(
            f"--{role}-column",
            metavar="COLUMN",
            type=_column,
            help=f"column of a table with {help}: a name, or a position from 0",
        )
    group.add_argument(
        "--min-rating", metavar="X", type=float, help="the least rating that counts as a like"
    )
    group.add_argument("--delimiter", metavar="C", help="what separates the columns of csv")
    group.add_argument(
        "--no-header", action="store_true", help="the first line of csv or tsv is data"
    )
    group.add_argument(
        "--count-as-item",
        action="store_true",
        help="take the count that begins each line of 'citeulike' for an item too, as the paper did",
    )


def _column(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return share


def _ids(text: str) -> list[str]:
    """Split at commas, but not within double quotes: a line of CSV."""
    try:
        (ids,) = csv.reader([text], strict=True)
    except csv.Error:
        ids = []
    if not ids:
        raise argparse.ArgumentTypeError(f'must be like a,b,"c, d", got {text!r}')
    return ids


def _lengths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be like 10,50,100, got {text!r}") from None
