"""``cml-fast map``: draw the learned space as a page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..messages import note
from ..options import Model, Overwrite, Threads, choice, load_model
from ..output import Outcome
from ..reading import Reading

EXAMPLE = """
cml-fast map demo-output/model --out map.html
cml-fast map model --item-metadata movies.csv --id-column movieId --names title --tags genres
"""
# As in _map, which is slow to load; a test compares them.
METHODS = ("auto", "tsne", "umap", "pacmap", "pca")
COLOURS = ("auto", "tag", "cluster", "popularity", "date")
UNKNOWN = ("drop", "error")
_ABOUT = "What is known of the items"


def _column(name: str, what: str) -> Any:
    return typer.Option(
        name, metavar="COLUMN", help=f"The column with {what}.", rich_help_panel=_ABOUT
    )


def run(
    model: Model,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page.")] = Path(
        "map.html"
    ),
    overwrite: Overwrite = False,
    method: Annotated[
        str,
        choice(
            "--method",
            among=METHODS,
            help="How the items are placed in the plane. auto is tsne if openTSNE is installed, "
            "else pca.",
        ),
    ] = METHODS[0],
    colour: Annotated[
        str, choice("--colour", among=COLOURS, help="What colours the items at first.")
    ] = COLOURS[0],
    n_users: Annotated[
        int, typer.Option("--n-users", metavar="N", help="How many users are shown, by their ids.")
    ] = 1000,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="The heading of the page.")
    ] = "The learned space",
    item_metadata: Annotated[
        Path | None,
        typer.Option(
            "--item-metadata",
            metavar="FILE",
            help="A table (csv, tsv, parquet) with more about the items.",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    id_column: Annotated[str, _column("--id-column", "the ids")] = "id",
    names: Annotated[str | None, _column("--names", "names to show instead of ids")] = None,
    tags: Annotated[str | None, _column("--tags", "tags, such as Action|Comedy")] = None,
    tag_separator: Annotated[
        str,
        typer.Option(
            "--tag-separator",
            metavar="TEXT",
            help="Between the tags of an item.",
            rich_help_panel=_ABOUT,
            hidden=True,
        ),
    ] = "|",
    dates: Annotated[str | None, _column("--dates", "years or dates")] = None,
    images: Annotated[str | None, _column("--images", "pictures: files, or URLs")] = None,
    unknown: Annotated[
        str,
        choice(
            "--unknown",
            among=UNKNOWN,
            help="Where these files have ids that the model does not have: drop them with a "
            "warning, or end with an error.",
            rich_help_panel=_ABOUT,
            hidden=True,
        ),
    ] = UNKNOWN[0],
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE",
            help="Tags or other features, of which a second map is drawn beside the first.",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    likes: Annotated[
        Path | None,
        typer.Option(
            "--likes",
            metavar="FILE",
            help="The interactions of training: what the users who are shown like.",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    random_state: Annotated[
        int, typer.Option("--random-state", metavar="SEED", help="Of all random choices.")
    ] = 0,
    n_threads: Threads = None,
    reading: Reading,
) -> Outcome:
    """Draw."""
    from ..._persistence.one_file import check_free
    from ...data import load_features

    check_free(out, overwrite)
    loaded = load_model(model)
    known: dict[str, Any] = {}
    if likes is not None:
        ids = {"user_ids": loaded.user_ids, "item_ids": loaded.item_ids}
        known["likes"] = reading.load(likes, **ids, unknown=unknown)
    if features is not None:
        note(f"reading {features}")
        known["features"] = load_features(features, ids=loaded.item_ids, unknown=unknown)
    note(f"drawing {len(loaded.item_ids):,} items")
    written = loaded.map(
        out,
        item_metadata=item_metadata,
        id_column=id_column,
        unknown=unknown,
        names=names,
        tags=tags,
        tag_separator=tag_separator,
        dates=dates,
        images=images,
        colour=colour,
        title=title,
        n_users=n_users,
        method=method,
        random_state=random_state,
        overwrite=overwrite,
        n_threads=n_threads,
        **known,
    )
    line = (
        f"{written['file']}: {written['items']:,} items and {written['users']:,} users by "
        f"{written['method']}, {written['bytes'] / 1e6:.1f} MB; open it in a browser"
    )
    return Outcome(written, [line])
