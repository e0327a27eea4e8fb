"""``cml-fast demo``: the demonstration, with made-up likes or a file of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..command import command_of
from ..config import given
from ..kept import keep
from ..messages import note
from ..output import Outcome
from ..reading import Reading
from ..saving import check_out
from . import train

EXAMPLE = "cml-fast demo --out demo-output"


def run(
    context: typer.Context,
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
    made_up = {"file": out / "train.csv", "validation": out / "validation.csv"}
    keep(
        out / "model",
        command_of("train", train.run),
        {**given(context), **({"file": data} if data else made_up)},
    )
    return Outcome(result, [text])
