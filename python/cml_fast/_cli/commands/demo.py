"""``cml-fast demo``: the demonstration, with made-up likes or a file of the user's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..._persistence.folder import check_writable
from .. import demo
from ..files import load
from ..output import Outcome, note
from ..parsing import Command, Parser, add_reader_options


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "--data", metavar="FILE", type=Path, help="your interactions (default: made-up ones)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("demo-output"),
        help="where to write the model and the map (default: %(default)s)",
    )
    add_reader_options(parser)


def _run(args: argparse.Namespace) -> Outcome:
    check_writable(args.out / "model", "model")  # before training, not after it
    data = load(args, args.data) if args.data else demo.planted_likes()
    return demo.run(data, args.out, note=note, verbose=sys.stderr.isatty())


COMMAND = Command(
    "demo",
    help="train on made-up likes or your own, compare with baselines, and draw a map",
    example="--out demo-output",
    add_options=_add_options,
    run=_run,
)
