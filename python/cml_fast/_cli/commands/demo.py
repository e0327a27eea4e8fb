"""``cml-fast demo``: the demonstration, with made-up likes or a file of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..messages import note
from ..output import Outcome
from ..reading import Reading
from ..saving import check_out

EXAMPLE = "cml-fast demo --out demo-output"


def run(
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FILE", help="Your interactions; made-up ones unless given."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where to write the model and the map."),
    ] = Path("demo-output"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model and files of a demo in --out.")
    ] = False,
    reading: Reading,
) -> Outcome:
    """Demonstrate."""
    from .. import demo

    check_out(out / "model", overwrite=overwrite)
    likes = reading.load(data) if data else demo.planted_likes()
    result, text = demo.run(likes, out, note=note, verbose=sys.stderr.isatty())
    return Outcome(result, [text])
