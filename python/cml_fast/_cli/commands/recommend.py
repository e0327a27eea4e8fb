"""``cml-fast recommend``: recommend items to users of the model, to a new person, or to all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._persistence.parts import FORMATS, Parts
from ..excluding import Excluding
from ..ids import id_of, ids_of_file, rows_of
from ..messages import note
from ..options import (
    Approximate,
    Model,
    N,
    Overwrite,
    Threads,
    choice,
    exactly_one,
    ids_option,
    load_model,
)
from ..output import Outcome
from ..ranking import PANEL as TITLES
from ..ranking import Ranked, Titles, one_ranking, rankings
from ..reading import Known, Reading
from ..tables import column_of

if TYPE_CHECKING:
    import numpy as np

    from ...model import Model as LoadedModel

EXAMPLE = """
cml-fast recommend demo-output/model --user user-00012 --exclude demo-output/train.csv
cml-fast recommend demo-output/model --likes blues-0003,blues-0011,disco-0002
cml-fast recommend demo-output/model --all --out recommendations.parquet
"""
_HINT = "; leave out what training had not, and put double quotes around an id with commas"
_WHOM = "Whom to recommend to"
_WHAT = "What to recommend"
_WHERE = "Writing a file"


def run(
    model: Model,
    *,
    user_id: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="A user's id.", rich_help_panel=_WHOM),
    ] = None,
    users_file: Annotated[
        Path | None,
        typer.Option(
            "--users-file",
            metavar="FILE",
            help="Users' ids, one a line; - for stdin.",
            rich_help_panel=_WHOM,
        ),
    ] = None,
    likes: Annotated[
        list[str],
        ids_option(
            "--likes",
            help="Ids of items that a new person likes, quoted as in CSV where they have commas: "
            "'a,\"b, c\"'; may be repeated.",
            rich_help_panel=_WHOM,
        ),
    ] = (),  # type: ignore[assignment]
    everyone: Annotated[
        bool,
        typer.Option("--all", help="All users; needs --out.", rich_help_panel=_WHOM),
    ] = False,
    n: N = 10,
    approximate: Approximate = False,
    excluding: Excluding,
    items: Annotated[
        list[str],
        ids_option("--items", help="Only some of these items.", rich_help_panel=_WHAT),
    ] = (),  # type: ignore[assignment]
    filter_items: Annotated[
        list[str],
        ids_option("--filter-items", help="None of these items.", rich_help_panel=_WHAT),
    ] = (),  # type: ignore[assignment]
    cold_users: Annotated[
        str,
        choice(
            "--cold-users",
            among=("popular", "error", "vector"),
            help="What a user without likes in training gets: popular items, an error, or what is "
            "near to a vector that says nothing.",
            rich_help_panel=_WHAT,
            hidden=True,
        ),
    ] = "popular",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help=f"With --all and --users-file: the table to write ({', '.join(FORMATS)}). If "
            "--all is interrupted, the same command goes on from the parts in FILE.parts.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    overwrite: Overwrite = False,
    titles: Titles,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups",
            metavar="FILE",
            help="A table with the group of each item, such as its author; see --max-per-group.",
            rich_help_panel=TITLES,
        ),
    ] = None,
    group_column: Annotated[
        str,
        typer.Option(
            "--group-column",
            metavar="COLUMN",
            help="Its column with the groups.",
            rich_help_panel=TITLES,
        ),
    ] = "group",
    max_per_group: Annotated[
        int | None,
        typer.Option(
            "--max-per-group",
            metavar="N",
            help="At most so many items of a group.",
            rich_help_panel=TITLES,
        ),
    ] = None,
    reading: Reading,
    known: Known,
    device: Annotated[
        str,
        choice(
            "--device",
            among=("auto", "cpu", "cuda"),
            help="With --all: where to search.",
            hidden=True,
        ),
    ] = "auto",
    n_threads: Threads = None,
) -> Outcome:
    """Recommend."""
    whom = {"--user": user_id, "--users-file": users_file, "--likes": likes, "--all": everyone}
    exactly_one(whom)
    for wrong, message in (
        (everyone and not out, "--all needs --out FILE"),
        (out and not (everyone or users_file), "--out needs --all or --users-file"),
        (overwrite and not out, "--overwrite needs --out"),
        (likes and excluding.exclude, "--exclude needs users: of --likes nothing is recommended"),
        (everyone and titles.titles, "--titles needs one of --user, --users-file and --likes"),
        (
            (groups is None) != (max_per_group is None),
            "--groups and --max-per-group need each other",
        ),
    ):
        if wrong:
            raise ValueError(message)
    loaded = load_model(model, approximate=approximate)
    search: dict[str, Any] = {
        "items": rows_of("item", loaded.item_ids, items, _HINT) if items else None,
        "filter_items": rows_of("item", loaded.item_ids, filter_items, _HINT)
        if filter_items
        else None,
        "groups": groups
        and column_of(
            "groups", groups, titles.id_column, "group_column", group_column, loaded.item_ids
        ),
        "max_per_group": max_per_group,
        "approximate": approximate,
        "n_threads": n_threads,
    }
    if likes:
        return _to_new_person(loaded, likes, n, search, titles)
    search["cold_users"] = cold_users
    if everyone:
        search |= {"device": device, "overwrite": overwrite}
        return _to_all(loaded, out, n, excluding.load_all(model, loaded, reading, known), search)
    texts = [str(user_id)] if users_file is None else ids_of_file(users_file)
    users = rows_of("user", loaded.user_ids, texts)
    parts = out and Parts(out, {}, 1, overwrite=overwrite)  # refuses before the work
    found = loaded.recommend(users, n, excluding.load_all(model, loaded, reading, known), **search)
    if parts:
        return _written(parts, out, loaded, users, found, titles)
    ranked = [
        Ranked({"user": id_of(loaded.user_ids, row)}, *one)
        for row, *one in zip(users, *found, strict=True)
    ]
    names = titles.of(loaded.item_ids)
    if users_file is not None:
        return rankings(loaded.item_ids, ranked, names)
    return _shown(ranked[0], loaded, names)


def _to_new_person(
    model: LoadedModel, likes: list[str], n: int, search: dict[str, Any], titles: Titles
) -> Outcome:
    import numpy as np
    import scipy.sparse as sp

    rows = np.unique(rows_of("item", model.item_ids, likes, _HINT))  # a like given twice is one
    liked = sp.csr_array(
        (np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape=(1, len(model.item_ids))
    )
    vector = model.fold_in_users(liked, n_threads=search["n_threads"])[0]
    found = model.recommend_from_vectors(vector, n, liked, **search)
    asked = {"likes": model.item_ids[rows].tolist()}
    return _shown(Ranked(asked, *found), model, titles.of(model.item_ids))


def _to_all(
    model: LoadedModel, out: Path | None, n: int, exclude: list[Any], search: dict[str, Any]
) -> Outcome:
    assert out is not None
    try:
        model.recommend_all(out, n, exclude, **search, progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        note(f"the same command goes on from the parts in {out}.parts")
        raise
    return _in_file(out, len(model.user_ids), n)


def _written(
    parts: Parts,
    out: Path | None,
    model: LoadedModel,
    users: np.ndarray,
    found: tuple[np.ndarray, np.ndarray],
    titles: Titles,
) -> Outcome:
    """Write what was found for some users to a file."""
    from ..._search import bulk

    for name, ids in (("user_ids", model.user_ids), ("item_ids", model.item_ids)):
        bulk.check_text(name, ids)
    table = bulk.table(model.user_ids[users], model.item_ids, found)
    names = titles.of(model.item_ids)
    if names is not None:
        rows = found[0][found[0] >= 0].tolist()
        table = table.append_column("title", [[names[row] for row in rows]])
    with parts.writing():
        parts.write(0, table)
        parts.join()
    assert out is not None
    return _in_file(out, len(users), found[0].shape[1])


def _in_file(out: Path, n_users: int, n: int) -> Outcome:
    text = f"up to {n} recommendations for each of {n_users:,} users in {out}"
    return Outcome({"out": str(out), "n_users": n_users, "n": n}, [text])


def _shown(found: Ranked, model: LoadedModel, titles: list[Any] | None) -> Outcome:
    if found.rows[0] < 0:
        note("nothing is left to recommend: all items are excluded")
    return one_ranking("item", model.item_ids, found, titles)
