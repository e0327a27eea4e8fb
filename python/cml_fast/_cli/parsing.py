"""Parsing the command line: what a command is, and the options that several of them have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..data._readers.formats import formats_of
from ..data._readers.pairs import INTERACTIONS
from .output import Outcome


class Parser(argparse.ArgumentParser):
    """A parser whose errors are of one line, and raised."""

    def __init__(self, **options: Any) -> None:
        # Without abbreviations: --user is not --user-column.
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Command:
    """A command of ``cml-fast``.

    Attributes
    ----------
    name : str
    help : str
        One line for the list of commands.
    example : str
        What follows ``cml-fast`` and the name in the example that ``--help`` shows.
    add_options : function of Parser
        Declares the arguments and options.
    run : function of argparse.Namespace -> Outcome
        Does the work and returns what is printed on stdout.
    """

    name: str
    help: str
    example: str
    add_options: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], Outcome]


def add_model(parser: Parser) -> None:
    """Declare the folder of a model as an argument."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="the model's folder")


def add_n(parser: Parser) -> None:
    """Declare how many results are shown."""
    parser.add_argument(
        "--n", metavar="N", type=int, default=10, help="how many to show (default: %(default)s)"
    )


def add_reader_options(parser: Parser) -> None:
    """Declare how files of interactions are read, see `files.load`."""
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
        help="take the count that begins each line of citeulike for an item too, as the paper did",
    )


def _column(text: str) -> str | int:
    return int(text) if text.isdecimal() else text
