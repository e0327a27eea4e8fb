"""Parsing the command line: what a command is, and the options that several of them have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..data._readers.delimited import QUOTING
from ..data._readers.formats import formats_of
from ..data._readers.pairs import INTERACTIONS
from ..data._readers.report import ON_BAD_LINES
from ..data.loading import UNKNOWN
from .output import Outcome


class Parser(argparse.ArgumentParser):
    """A parser whose errors are of one line, and raised."""

    def __init__(self, **options: Any) -> None:
        # Without abbreviations: --user is not --user-column.
        super().__init__(
            **options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        option = re.fullmatch(r"argument ([^:]+): expected (one|at least one) argument", message)
        hint = f"; a value that begins with - is given as {option[1]}=VALUE" if option else ""
        raise ValueError(f"{message}{hint} (see {self.prog} --help)")


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
        ("timestamp", "times: numbers, or dates like 2024-01-31"),
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
    group.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action=_Where,
        help="only rows with this value in this column; for several values or columns, repeat it",
    )
    group.add_argument("--delimiter", metavar="TEXT", help="what separates the columns of csv")
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line of a table has the names of the columns (default: yes; with "
        "columns given by position that has to be said)",
    )
    group.add_argument(
        "--quoting",
        choices=QUOTING,
        help='what a double quote is: around fields of one line ("minimal"), also around fields '
        'with line breaks ("multiline") or with backslashes before quotes ("backslash"), or a '
        'character like any other ("none")',
    )
    group.add_argument("--encoding", metavar="NAME", help="of text, such as latin-1")
    group.add_argument(
        "--missing",
        metavar="TEXT",
        action="append",
        default=[],
        help="what stands for no id, besides nothing, such as NULL; may be repeated",
    )
    group.add_argument(
        "--unknown",
        choices=UNKNOWN,
        default="drop",
        help="in further files, such as those of --validation and --exclude: leave out pairs of "
        "users or items that training did not have, with a warning, or end with an error "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--on-bad-lines",
        choices=ON_BAD_LINES,
        default=ON_BAD_LINES[0],
        help="end with an error, or skip and count them (default: %(default)s)",
    )
    group.add_argument(
        "--count-as-item",
        action="store_true",
        help="take the count that begins each line of citeulike for an item too, as the paper did",
    )


class _Where(argparse.Action):
    """Collects COLUMN=VALUE in a dict of lists."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        column, equals, value = values.partition("=")
        if not (column and equals):
            parser.error(f"{option} must be like event=purchase, got {values!r}")
        where = getattr(namespace, self.dest) or {}
        where.setdefault(_column(column), []).append(value)
        setattr(namespace, self.dest, where)


def _column(text: str) -> str | int:
    return int(text) if text.isdecimal() else text
