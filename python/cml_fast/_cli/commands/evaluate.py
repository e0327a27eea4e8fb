"""``cml-fast evaluate``: measure recall, NDCG and other metrics on held-out interactions."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..._evaluation.plan import COLD
from ...metrics import DEFAULT_METRICS, METRICS
from ..excluding import Excluding
from ..kept import reading_of
from ..options import Model, Threads, choice, load_model
from ..output import Outcome, Table
from ..reading import Known, Reading

if TYPE_CHECKING:
    from ...metrics import Evaluation

EXAMPLE = r"""
cml-fast evaluate demo-output/model demo-output/test.csv \
    --exclude demo-output/train.csv --exclude demo-output/validation.csv
"""


def _check_lengths(text: str) -> str:
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise typer.BadParameter(f"must be like 10,50,100, got {text!r}")
    return text


def run(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The held-out interactions.", show_default=False),
    ],
    *,
    ks: Annotated[
        str,
        typer.Option(
            "--k", metavar="K,...", help="Lengths of the rankings.", callback=_check_lengths
        ),
    ] = "10,50,100",
    metrics: Annotated[
        str,
        typer.Option("--metrics", metavar="NAME,...", help=f"Some of {', '.join(METRICS)}."),
    ] = ",".join(DEFAULT_METRICS),
    excluding: Excluding,
    cold_users: Annotated[
        str,
        choice(
            "--cold-users",
            among=COLD,
            help="Include or exclude users without likes in training.",
            hidden=True,
        ),
    ] = COLD[0],
    n_threads: Threads = None,
    reading: Reading,
    known: Known,
) -> Outcome:
    """Evaluate."""
    from ...evaluation import evaluate

    loaded = load_model(model)
    reading = reading_of(model, reading)
    test = known.load(reading, file, loaded.user_ids, loaded.item_ids)
    evaluation = evaluate(
        loaded,
        test,
        excluding.load_all(model, loaded, reading, known),
        [int(part) for part in ks.split(",")],
        metrics=metrics.split(","),
        cold_users=cold_users,
        progress=sys.stderr.isatty(),
        n_threads=n_threads,
    )
    return Outcome(evaluation.to_dict(), [*evaluation.about_users(), _table(evaluation)])


def _table(evaluation: Evaluation) -> Table:
    """Return a column for each length, and one for metrics of whole rankings."""
    means = {name: evaluation.means(name) for name in (*evaluation.per_user, *evaluation.overall)}
    lengths = sorted({k for by_k in means.values() for k in by_k}, key=lambda k: k or math.inf)
    rows = [
        (name, *(f"{by_k[k]:.4f}" if k in by_k else "" for k in lengths))
        for name, by_k in means.items()
    ]
    return Table(("metric", *(f">@{k}" if k else ">all" for k in lengths)), rows)
