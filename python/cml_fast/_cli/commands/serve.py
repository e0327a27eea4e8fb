"""``cml-fast serve``: answer requests over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..excluding import Excluding
from ..options import Model
from ..output import Outcome
from ..reading import STDIN, Known, Reading

if TYPE_CHECKING:
    from ...data import Interactions
    from ...model import Model as LoadedModel

EXAMPLE = """\
cml-fast serve demo-output/model --exclude demo-output/train.csv
curl --json '{"users": ["user-00012"], "n": 5}' http://127.0.0.1:8000/recommend
"""


def run(
    model: Model,
    *,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="HOST",
            help="The address to listen at. There is no authentication: let others in through a "
            "proxy.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="The port to listen at; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", help="Processes, each with the model and one thread."
        ),
    ] = 1,
    excluding: Excluding,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log each request.", hidden=True)
    ] = False,
    reading: Reading,
    known: Known,
) -> Outcome:
    """Serve until Ctrl-C."""
    from ...serving import serve

    if any(str(file) == STDIN for file in excluding.exclude):
        raise ValueError("--exclude must be a file: it is read again when the model is reloaded")
    read = partial(_read_likes, excluding, model, reading, known)
    serve(model, host, port, workers=workers, exclude=read, access_log=access_log)
    return Outcome({"model": str(model), "stopped": True}, ["stopped"])


def _read_likes(
    excluding: Excluding, folder: Path, reading: Reading, known: Known, model: LoadedModel
) -> list[Interactions]:
    """Read what users have already; the worker processes get this function, too."""
    return excluding.load_all(folder, model, reading, known)
