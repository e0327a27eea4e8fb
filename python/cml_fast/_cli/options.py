"""Arguments and options that several commands have."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..model import Model as LoadedModel


def choice(*names: str, among: Sequence[str], help: str, **options: Any) -> Any:
    """Return a typer.Option that takes one of some words, which the shell completes."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in among:
            raise typer.BadParameter(f"must be one of {', '.join(among)}, got {value!r}")
        return value

    def complete(incomplete: str) -> list[str]:
        return [word for word in among if word.startswith(incomplete)]

    metavar = options.pop("metavar", "|".join(among))
    return typer.Option(
        *names, help=help, metavar=metavar, callback=check, autocompletion=complete, **options
    )


def split_ids(texts: Iterable[str]) -> list[str]:
    """Split at commas, but not within double quotes: lines of CSV."""
    found = []
    for text in texts:
        try:
            (ids,) = csv.reader([text], strict=True)
        except csv.Error:
            ids = []
        if not ids:
            raise typer.BadParameter(f'must be like a,b,"c, d", got {text!r}')
        found += ids
    return found


def ids_option(*names: str, help: str, **options: Any) -> Any:
    """Return a typer.Option for lists of ids, all of which count where it is repeated."""
    return typer.Option(*names, help=help, metavar="ID,...", callback=split_ids, **options)


def at_most_one(given: Mapping[str, Any]) -> None:
    """Refuse two of these options; an option is given if its value is neither empty nor None."""
    names = [name for name, value in given.items() if value not in (None, False, [], ())]
    if len(names) > 1:
        raise ValueError(f"{names[1]} is not allowed with {names[0]}")


def exactly_one(given: Mapping[str, Any]) -> None:
    """Refuse two of these options, or none."""
    at_most_one(given)
    if all(value in (None, False, [], ()) for value in given.values()):
        raise ValueError(f"one of {', '.join(given)} is required")


def _check_lengths(text: str) -> str:
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise typer.BadParameter(f"must be like 10,50,100, got {text!r}")
    return text


def lengths(text: str) -> list[int]:
    """Return the numbers of a checked ``--k``."""
    return [int(part) for part in text.split(",")]


def load_model(folder: Path, *, approximate: bool = False) -> LoadedModel:
    """Load a model, which has an index if the search is to be approximate."""
    from ..model import Model

    model = Model.load(folder)
    if approximate and model.index_info is None:
        raise ValueError(f"--approximate needs an index: make it with cml-fast index {folder}")
    return model


Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The model's folder.", show_default=False)
]
N = Annotated[int, typer.Option("--n", metavar="N", help="How many to show.")]
Lengths = Annotated[
    str,
    typer.Option("--k", metavar="K,...", help="Lengths of the rankings.", callback=_check_lengths),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--n-threads", metavar="N", help="CPU threads (all cores that are ours).", hidden=True
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out already.")]
Approximate = Annotated[
    bool,
    typer.Option(
        "--approximate",
        help="Search the model's index, see cml-fast index: faster among many items.",
    ),
]
