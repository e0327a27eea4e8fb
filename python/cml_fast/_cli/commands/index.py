"""``cml-fast index``: give a model an index for approximate search."""

from __future__ import annotations

from typing import Annotated

import typer

from ..._search.index import KINDS
from ..messages import note
from ..options import Model, Threads, choice, load_model
from ..output import Outcome, outline

EXAMPLE = """
cml-fast index demo-output/model --recall 0.95
cml-fast recommend demo-output/model --user user-00012 --approximate
"""


def run(
    model: Model,
    *,
    kind: Annotated[
        str,
        choice(
            "--kind",
            among=("auto", *KINDS),
            help="What kind of index; auto takes the best one that is installed.",
        ),
    ] = "auto",
    recall: Annotated[
        float,
        typer.Option(
            "--recall",
            metavar="X",
            help="The share of the nearest items that a search is to find, on average.",
        ),
    ] = 0.98,
    n: Annotated[
        int,
        typer.Option("--n", metavar="N", help="The length of the lists that --recall is about."),
    ] = 10,
    n_threads: Threads = None,
) -> Outcome:
    """Index."""
    loaded = load_model(model)
    note("building the index")
    threads = {} if n_threads is None else {"n_threads": n_threads}
    indexed = loaded.build_index(kind, recall=recall, n=n, **threads)
    indexed.save(model)
    result = {"model": str(model), "index": indexed.index_info}
    return Outcome(result, outline(result))
