"""``cml-fast similar``: find the items near an item, or the users near a user."""

from __future__ import annotations

from typing import Annotated

import typer

from ..ids import id_of, rows_of
from ..options import Approximate, Model, N, Threads, exactly_one, load_model
from ..output import Outcome
from ..ranking import Ranked, Titles, one_ranking

EXAMPLE = "cml-fast similar demo-output/model --item blues-0003"


def run(
    model: Model,
    *,
    item_id: Annotated[
        str | None, typer.Option("--item", metavar="ID", help="The item's id.")
    ] = None,
    user_id: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="The user's id.")
    ] = None,
    n: N = 10,
    approximate: Approximate = False,
    n_threads: Threads = None,
    titles: Titles,
) -> Outcome:
    """Find the neighbours of an item or a user."""
    exactly_one({"--item": item_id, "--user": user_id})
    if user_id is not None:
        for option, given in {"--titles": titles.titles, "--approximate": approximate}.items():
            if given:
                raise ValueError(f"{option} needs --item")
    loaded = load_model(model, approximate=approximate)
    if item_id is not None:
        row = rows_of("item", loaded.item_ids, [item_id])[0]
        found = loaded.similar_items(row, n, approximate=approximate, n_threads=n_threads)
        asked = {"item": id_of(loaded.item_ids, row)}
        names = titles.of(loaded.item_ids)
        if names is not None:
            asked["title"] = names[row]
        return one_ranking("item", loaded.item_ids, Ranked(asked, *found), names)
    row = rows_of("user", loaded.user_ids, [str(user_id)])[0]
    found = loaded.similar_users(row, n, n_threads=n_threads)
    return one_ranking(
        "user", loaded.user_ids, Ranked({"user": id_of(loaded.user_ids, row)}, *found)
    )
