"""``cml-fast prepare``: make a data set of likes that do not fit in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..messages import note
from ..output import Outcome
from ..reading import Reading

EXAMPLE = """
cml-fast prepare likes.parquet --out likes --memory 2GiB
cml-fast prepare 'days/*.csv' --user-column customer --item-column article --out likes
"""


def run(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="The interactions: files, folders, or patterns in quotes.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder to make.", show_default=False),
    ],
    memory: Annotated[
        str,
        typer.Option("--memory", metavar="SIZE", help="How much memory it may take."),
    ] = "2GiB",
    reading: Reading,
) -> Outcome:
    """Prepare."""
    from ... import data
    from ..._memory import readable

    options = reading.arguments()
    for name in ("timestamp", "count_as_item"):
        if options.pop(name):
            raise ValueError(f"{name} is not for prepare: leave it out")
    note(f"reading {', '.join(file)}")
    likes = data.Dataset.build(
        list(file), out, memory=memory, progress=sys.stderr.isatty(), **options
    )
    n_bytes = sum(path.stat().st_size for path in likes.path.iterdir())
    result = {
        "path": str(out),
        "users": likes.n_users,
        "items": likes.n_items,
        "interactions": likes.nnz,
        "bytes": n_bytes,
        "token": likes.token,
    }
    lines = [
        f"{likes.n_users:,} users x {likes.n_items:,} items, {likes.nnz:,} interactions",
        f"{readable(n_bytes)} written to {out}",
    ]
    return Outcome(result, lines)
