"""Reading files of interactions: the options that say how, and the call."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..data._readers.delimited import QUOTING
from ..data._readers.formats import formats_of
from ..data._readers.pairs import INTERACTIONS
from ..data._readers.report import ON_BAD_LINES
from ..data.loading import UNKNOWN
from .messages import note
from .options import choice

if TYPE_CHECKING:
    from ..data import Interactions

# As a file: what is piped to the command.
STDIN = "-"
PANEL = "Reading files"


def _column(name: str, what: str, *, rare: bool = False) -> Any:
    return typer.Option(
        name,
        metavar="COLUMN",
        help=f"Column of a table with {what}: a name, or a position from 0.",
        rich_help_panel=PANEL,
        hidden=rare,
    )


def _rare(name: str, help: str, **options: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=PANEL, hidden=True, **options)


def _check_where(conditions: list[str]) -> list[str]:
    for condition in conditions:
        column, equals, _ = condition.partition("=")
        if not (column and equals):
            raise typer.BadParameter(f"must be like event=purchase, got {condition!r}")
    return conditions


@dataclass(frozen=True)
class Reading:
    """How files are read: the arguments of `load_interactions`, as options."""

    format: Annotated[
        str,
        choice(
            "--format",
            among=("auto", *formats_of(INTERACTIONS)),
            metavar="NAME",
            help=f"What the file is: {', '.join(formats_of(INTERACTIONS))}; by its extension "
            "unless given.",
            rich_help_panel=PANEL,
        ),
    ] = "auto"
    user: Annotated[str | None, _column("--user-column", "user ids")] = None
    item: Annotated[str | None, _column("--item-column", "item ids")] = None
    rating: Annotated[
        str | None, _column("--rating-column", "ratings, compared with --min-rating")
    ] = None
    min_rating: Annotated[
        float | None,
        typer.Option(
            "--min-rating",
            metavar="X",
            help="The least rating that counts as a like.",
            rich_help_panel=PANEL,
        ),
    ] = None
    weight: Annotated[str | None, _column("--weight-column", "weights")] = None
    timestamp: Annotated[
        str | None, _column("--timestamp-column", "times, numbers or dates like 2024-01-31")
    ] = None
    where: Annotated[
        list[str],
        _rare(
            "--where",
            "Only rows with this value in this column; for several values or columns, repeat it.",
            metavar="COLUMN=VALUE",
            callback=_check_where,
        ),
    ] = ()  # type: ignore[assignment]
    delimiter: Annotated[
        str | None, _rare("--delimiter", "What separates the columns of csv.", metavar="TEXT")
    ] = None
    header: Annotated[
        bool | None,
        _rare(
            "--header/--no-header",
            "Whether the first line of a table has the names of the columns; it has unless said. "
            "With columns given by position it has to be said.",
        ),
    ] = None
    quoting: Annotated[
        str | None,
        choice(
            "--quoting",
            among=QUOTING,
            metavar="NAME",
            help="What a double quote is: around fields of one line (minimal), also around fields "
            "with line breaks (multiline) or with backslashes before quotes (backslash), or a "
            "character like any other (none).",
            rich_help_panel=PANEL,
            hidden=True,
        ),
    ] = None
    encoding: Annotated[
        str | None, _rare("--encoding", "Of text, such as latin-1.", metavar="NAME")
    ] = None
    missing: Annotated[
        list[str],
        _rare(
            "--missing",
            "What stands for no id, besides nothing, such as NULL; may be repeated.",
            metavar="TEXT",
        ),
    ] = ()  # type: ignore[assignment]
    on_bad_lines: Annotated[
        str,
        choice(
            "--on-bad-lines",
            among=ON_BAD_LINES,
            help="End with an error, or skip and count them.",
            rich_help_panel=PANEL,
            hidden=True,
        ),
    ] = ON_BAD_LINES[0]
    count_as_item: Annotated[
        bool,
        _rare(
            "--count-as-item",
            "Take the count that begins each line of citeulike for an item too, as the paper did.",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Make tuples of typer's lists, so that two of them can be compared."""
        for name in ("where", "missing"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def load(self, file: Path, **known: Any) -> Interactions:
        """Read interactions; ``known`` are further arguments of `load_interactions`."""
        from ..data import load_interactions

        note(f"reading {file}")
        source = sys.stdin.buffer if str(file) == STDIN else file
        return load_interactions(source, **{**self.arguments(), **known})

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `load_interactions`."""
        where: dict[str | int | None, list[str]] = {}
        for condition in self.where:
            column, _, value = condition.partition("=")
            where.setdefault(_name_or_position(column), []).append(value)
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        for column in ("user", "item", "rating", "weight", "timestamp"):
            options[column] = _name_or_position(options[column])
        return {**options, "where": where or None}


@dataclass(frozen=True)
class Known:
    """What happens to users and items that a further file has and training had not."""

    unknown: Annotated[
        str,
        choice(
            "--unknown",
            among=UNKNOWN,
            help="In further files, such as those of --validation and --exclude: leave out pairs "
            "of users or items that training did not have, with a warning (drop), or end with an "
            "error.",
            rich_help_panel=PANEL,
            hidden=True,
        ),
    ] = "drop"

    def load(
        self, reading: Reading, file: Path, user_ids: np.ndarray, item_ids: np.ndarray
    ) -> Interactions:
        """Read the interactions between these users and items.

        Files that were split by chance or by time always have a few others.
        """
        return reading.load(file, user_ids=user_ids, item_ids=item_ids, unknown=self.unknown)


def _name_or_position(column: str | None) -> str | int | None:
    """Return a column as the library takes it."""
    return int(column) if column is not None and column.isdecimal() else column
