"""``cml-fast report``: write a page on a model, its data and its recommendations."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ..excluding import Excluding
from ..kept import reading_of
from ..messages import note
from ..options import Lengths, Model, Overwrite, Threads, at_most_one, lengths, load_model
from ..output import Outcome
from ..ranking import Titles
from ..reading import Known, Reading
from ..tables import column_of

EXAMPLE = r"""
cml-fast report demo-output/model --train demo-output/train.csv \
    --test demo-output/test.csv --exclude demo-output/validation.csv
"""
_GROUPS = "Groups of users"


def run(
    model: Model,
    *,
    train: Annotated[
        Path, typer.Option("--train", metavar="FILE", help="The interactions of training.")
    ],
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="FILE", help="The held-out interactions, to measure by."),
    ] = None,
    excluding: Excluding,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page.")] = Path(
        "report.html"
    ),
    overwrite: Overwrite = False,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="The heading of the page.")
    ] = "Report on a recommender",
    ks: Lengths = "10,50,100",
    titles: Titles,
    user_groups: Annotated[
        Path | None,
        typer.Option(
            "--user-groups",
            metavar="FILE",
            help="A table (csv, tsv, parquet) with a group for each user, to measure apart.",
            rich_help_panel=_GROUPS,
        ),
    ] = None,
    group_column: Annotated[
        str,
        typer.Option(
            "--group-column",
            metavar="COLUMN",
            help="Its column with the groups.",
            rich_help_panel=_GROUPS,
        ),
    ] = "group",
    user_id_column: Annotated[
        str,
        typer.Option(
            "--user-id-column",
            metavar="COLUMN",
            help="Its column with the user ids.",
            rich_help_panel=_GROUPS,
        ),
    ] = "id",
    map_page: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="A page that cml-fast map wrote, to be part of this one; else one is drawn.",
        ),
    ] = None,
    no_map: Annotated[
        bool, typer.Option("--no-map", help="Draw no map, which takes most of the time.")
    ] = False,
    n_threads: Threads = None,
    reading: Reading,
    known: Known,
) -> Outcome:
    """Write the page."""
    from ..._persistence.one_file import check_folder, check_free
    from ...report import write_report

    at_most_one({"--map": map_page, "--no-map": no_map})
    check_free(out, overwrite)  # before the files are read, not after it
    check_folder(out)
    loaded = load_model(model)
    ids = loaded.user_ids, loaded.item_ids
    how = reading_of(model, reading)
    groups = None
    if user_groups is not None:
        groups = column_of(
            "user_groups", user_groups, user_id_column, "group_column", group_column, ids[0]
        )
    likes = known.load(how, train, *ids)
    held_out = None if test is None else known.load(how, test, *ids)
    left_out = excluding.load_all(model, loaded, reading, known)
    names = titles.of(loaded.item_ids)
    with TemporaryDirectory() as folder:
        if map_page is None and not no_map:
            map_page = Path(folder, "map.html")
            note(f"drawing a map of {len(loaded.item_ids):,} items; --no-map leaves it out")
            loaded.map(map_page, names=names, likes=likes, n_threads=n_threads)
        written = write_report(
            loaded,
            likes,
            held_out,
            out=out,
            exclude=left_out,
            ks=lengths(ks),
            names=names,
            user_groups=groups,
            map_page=map_page,
            title=title,
            overwrite=overwrite,
            progress=note,
            n_threads=n_threads,
        )
    n_bytes = written.stat().st_size
    result = {"report": str(written), "bytes": n_bytes}
    return Outcome(result, [f"{written}: {n_bytes / 1e3:.0f} kB; open it in a browser"])
