"""``cml-fast export``: write the vectors of a model to a file or a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._persistence.folder import IN_PARTS
from ..options import Model, choice, load_model
from ..output import Outcome

if TYPE_CHECKING:
    from ...distributed import PartitionedModel
    from ...model import Model as LoadedModel

EXAMPLE = """
cml-fast export demo-output/model items.parquet
cml-fast export demo-output/model shop.duckdb --what both
"""
# As in _export, which is slow to load; a test compares them.
WHAT = ("items", "users", "both")
TARGETS = ("parquet", "arrow", "duckdb", "lancedb", "qdrant", "postgresql")
UNKNOWN = ("error", "drop")
IF_EXISTS = ("error", "replace")
_METADATA = "Metadata"


def _metadata(entity: str) -> Any:
    return typer.Option(
        f"--{entity}-metadata",
        metavar="FILE",
        help=f"A table (csv, tsv, parquet) with more about the {entity}s, such as titles and tags.",
        rich_help_panel=_METADATA,
    )


def run(
    model: Model,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DESTINATION",
            help="A file or folder (items.parquet, items.arrow, shop.duckdb, shop.lancedb, "
            "shop.qdrant) or the URL of a server (postgresql://user@host/database, "
            "http://host:6333 for Qdrant). Passwords come from PGPASSWORD or ~/.pgpass, Qdrant's "
            "key from QDRANT_API_KEY.",
            show_default=False,
        ),
    ],
    *,
    what: Annotated[str, choice("--what", among=WHAT, help="What to export.")] = WHAT[0],
    to: Annotated[
        str | None,
        choice(
            "--to",
            among=TARGETS,
            metavar="TARGET",
            help=f"What the destination is: {', '.join(TARGETS)}; by its name unless given.",
        ),
    ] = None,
    if_exists: Annotated[
        str,
        choice(
            "--if-exists",
            among=IF_EXISTS,
            help="Where there is such a table already: end with an error, or replace it.",
        ),
    ] = IF_EXISTS[0],
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            metavar="NAME",
            help="Begins the names of the tables, such as cml_items and cml_users.",
            hidden=True,
        ),
    ] = "cml_",
    item_metadata: Annotated[Path | None, _metadata("item")] = None,
    user_metadata: Annotated[Path | None, _metadata("user")] = None,
    id_column: Annotated[
        str,
        typer.Option(
            "--id-column",
            metavar="COLUMN",
            help="The column of these tables that has the ids.",
            rich_help_panel=_METADATA,
        ),
    ] = "id",
    unknown: Annotated[
        str,
        choice(
            "--unknown",
            among=UNKNOWN,
            help="Where these tables have ids that the model does not have: end with an error, or "
            "drop them with a warning.",
            rich_help_panel=_METADATA,
        ),
    ] = UNKNOWN[0],
) -> Outcome:
    """Export."""
    written = _opened(model).export(
        destination,
        what,
        to=to,
        prefix=prefix,
        item_metadata=item_metadata,
        user_metadata=user_metadata,
        id_column=id_column,
        unknown=unknown,
        if_exists=if_exists,
    )
    lines = [f"{n_rows:,} rows in {name}" for name, n_rows in written.items()]
    return Outcome({"written": written}, lines)


def _opened(folder: Path) -> LoadedModel | PartitionedModel:
    """The model in a folder; if its users are in parts, one part at a time is read."""
    if not (folder / IN_PARTS).is_file():
        return load_model(folder)
    from ...distributed import PartitionedModel

    return PartitionedModel.open(folder)
