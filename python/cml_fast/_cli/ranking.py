"""Rankings of items or users, with their titles where a file has them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .output import Outcome, Table
from .tables import column_of

PANEL = "Titles and groups"


@dataclass(frozen=True)
class Titles:
    """Where the titles of items are, as options."""

    titles: Annotated[
        Path | None,
        typer.Option(
            "--titles",
            metavar="FILE",
            help="A table (csv, tsv, parquet) with a title for each item, to show beside its id.",
            rich_help_panel=PANEL,
        ),
    ] = None
    title_column: Annotated[
        str,
        typer.Option(
            "--title-column",
            metavar="COLUMN",
            help="Its column with the titles.",
            rich_help_panel=PANEL,
        ),
    ] = "title"
    id_column: Annotated[
        str,
        typer.Option(
            "--id-column",
            metavar="COLUMN",
            help="The column with the item ids, there and in --groups.",
            rich_help_panel=PANEL,
        ),
    ] = "id"

    def of(self, item_ids: np.ndarray) -> list[Any] | None:
        """Return the title of each item, None where it has none; None without a file."""
        if self.titles is None:
            return None
        return column_of(
            "titles", self.titles, self.id_column, "title_column", self.title_column, item_ids
        )


@dataclass(frozen=True)
class Ranked:
    """What was found for one user or item, nearest first.

    Attributes
    ----------
    asked : dict
        For whom, as the beginning of the JSON object.
    rows, distances : numpy.ndarray, (n,)
        Row numbers, -1 where there are no more, and distances.
    """

    asked: dict[str, Any]
    rows: np.ndarray
    distances: np.ndarray


def one_ranking(
    what: str, ids: np.ndarray, found: Ranked, titles: list[Any] | None = None
) -> Outcome:
    """Return the users or items that were found; ``what`` is "user" or "item"."""
    return Outcome(_json(what, ids, found, titles), [_table(what, ids, [found], titles)])


def rankings(ids: np.ndarray, found: list[Ranked], titles: list[Any] | None = None) -> Outcome:
    """Return the items that were found for several users."""
    result = {"users": [_json("item", ids, one, titles) for one in found]}
    return Outcome(result, [_table("item", ids, found, titles, "user")])


def _entries(
    what: str, ids: np.ndarray, found: Ranked, titles: list[Any] | None
) -> list[dict[str, Any]]:
    there = found.rows >= 0
    rows, distances = found.rows[there].tolist(), found.distances[there].tolist()
    names = ids[found.rows[there]].tolist()
    return [
        {
            what: name,
            **({} if titles is None else {"title": titles[row]}),
            # Popular items, which users without likes in training get, have no distance.
            "distance": None if isnan(far) else far,
        }
        for row, name, far in zip(rows, names, distances, strict=True)
    ]


def _json(what: str, ids: np.ndarray, found: Ranked, titles: list[Any] | None) -> dict[str, Any]:
    return {**found.asked, f"{what}s": _entries(what, ids, found, titles)}


def _table(
    what: str,
    ids: np.ndarray,
    found: list[Ranked],
    titles: list[Any] | None,
    whose: str | None = None,
) -> Table:
    rows = []
    for one in found:
        for rank, entry in enumerate(_entries(what, ids, one, titles), 1):
            far = entry["distance"]
            rows.append(
                (
                    *((str(one.asked[whose]),) if whose else ()),
                    str(rank),
                    str(entry[what]),
                    *(() if titles is None else (str(entry["title"] or "-"),)),
                    "-" if far is None else f"{far:.4f}",
                )
            )
    columns = (
        *((whose,) if whose else ()),
        *(">rank", what),
        *(() if titles is None else ("title",)),
        ">distance",
    )
    return Table(columns, rows)
