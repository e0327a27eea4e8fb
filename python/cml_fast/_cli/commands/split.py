"""``cml-fast split``: divide a file of interactions for training, validation and test."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options import Overwrite, choice
from ..output import Outcome
from ..reading import Reading
from ..saving import FORMATS, write_interactions

EXAMPLE = """
cml-fast split ratings.csv --min-rating 4 --fractions 0.8,0.1,0.1 --out parts
cml-fast split events.csv --timestamp-column time --kind time --test-size 0.2 --out parts
"""
# The functions of cml_fast.data that divide in these ways.
KINDS = {
    "random": "split",
    "time": "split_by_time",
    "last": "split_last",
    "leave-one-out": "leave_one_out",
    "users": "split_users",
    "items": "split_items",
}
_TWO, _THREE = ("train", "test"), ("train", "validation", "test")


def _number(text: str) -> float | int:
    return int(text) if text.isdecimal() else float(text)


def _check_number(text: str | None) -> str | None:
    try:
        _number(text or "0")
    except ValueError:
        raise typer.BadParameter(f"must be a number like 0.2 or 1, got {text!r}") from None
    return text


def _check_fractions(text: str | None) -> str | None:
    try:
        n_parts = len([float(part) for part in (text or "1,1").split(",")])
    except ValueError:
        n_parts = 0
    if n_parts not in (len(_TWO), len(_THREE)):
        raise typer.BadParameter(f"must be like 0.8,0.2 or 0.6,0.2,0.2, got {text!r}")
    return text


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The interactions.", show_default=False)
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder for the parts.", show_default=False),
    ],
    overwrite: Overwrite = False,
    to: Annotated[
        str, choice("--to", among=tuple(FORMATS), help="The format of the parts.")
    ] = "csv",
    kind: Annotated[
        str,
        choice(
            "--kind",
            among=tuple(KINDS),
            help="Each user's interactions at random; the latest of all; each user's last ones; "
            "one of each user; whole users; whole items.",
        ),
    ] = "random",
    fractions: Annotated[
        str | None,
        typer.Option(
            "--fractions",
            metavar="X,...",
            help="With random: the shares of train and test, or of train, validation and test "
            "(0.6,0.2,0.2).",
            callback=_check_fractions,
        ),
    ] = None,
    test_size: Annotated[
        str | None,
        typer.Option(
            "--test-size",
            metavar="X",
            help="With the others: what goes to the test, a share such as 0.2, or a number.",
            callback=_check_number,
        ),
    ] = None,
    random_state: Annotated[
        int | None,
        typer.Option("--random-state", metavar="N", help="Seed of what is drawn (0)."),
    ] = None,
    reading: Reading,
) -> Outcome:
    """Split."""
    from ... import data

    divide = getattr(data, KINDS[kind])
    given: dict[str, Any] = {
        "fractions": fractions and tuple(map(float, fractions.split(","))),
        "test_size": test_size and _number(test_size),
        "random_state": random_state,
    }
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in inspect.signature(divide).parameters:
            raise ValueError(f"{name} is not for --kind {kind}")
    names = _TWO if kind != "random" or len(given.get("fractions", _THREE)) == 2 else _THREE
    paths = {name: out / f"{name}.{to}" for name in names}
    if not overwrite:
        for path in paths.values():
            if path.exists():
                raise FileExistsError(
                    f"{path} exists: give another folder, or replace it with --overwrite"
                )
    parts = divide(reading.load(file), **given)
    out.mkdir(parents=True, exist_ok=True)
    for path, part in zip(paths.values(), parts, strict=True):
        write_interactions(part, path)
    result = {
        "files": {name: str(path) for name, path in paths.items()},
        "interactions": dict(zip(names, parts.report.interactions, strict=True)),
        "counts": parts.report.counts,
    }
    return Outcome(result, [str(parts.report), f"written to {out}"])
