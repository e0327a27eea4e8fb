"""``cml-fast export``: write the vectors of a model to a file or a database."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...model import Model
from ..output import Outcome
from ..parsing import Command, Parser, add_model

# As in _export, which is slow to load; a test compares them.
WHAT = ("items", "users", "both")
TARGETS = ("parquet", "arrow", "duckdb", "lancedb", "qdrant", "postgresql")
UNKNOWN = ("error", "drop")
IF_EXISTS = ("error", "replace")


def _add_options(parser: Parser) -> None:
    add_model(parser)
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        help="a file or folder (items.parquet, items.arrow, shop.duckdb, shop.lancedb, "
        "shop.qdrant) or the URL of a server (postgresql://user@host/database, http://host:6333 "
        "for Qdrant); passwords come from PGPASSWORD or ~/.pgpass, Qdrant's key from "
        "QDRANT_API_KEY",
    )
    parser.add_argument(
        "--what", choices=WHAT, default=WHAT[0], help="what to export (default: %(default)s)"
    )
    parser.add_argument(
        "--to", choices=TARGETS, help="what the destination is (default: by its name)"
    )
    parser.add_argument(
        "--prefix",
        metavar="NAME",
        default="cml_",
        help="begins the names of the tables, cml_items and cml_users by default",
    )
    for entity in ("item", "user"):
        parser.add_argument(
            f"--{entity}-metadata",
            metavar="FILE",
            type=Path,
            help=f"a table (csv, tsv, parquet) with more about the {entity}s, such as titles and "
            "tags",
        )
    parser.add_argument(
        "--id-column",
        metavar="COLUMN",
        default="id",
        help="the column of these tables that has the ids (default: %(default)s)",
    )
    parser.add_argument(
        "--unknown",
        choices=UNKNOWN,
        default=UNKNOWN[0],
        help="where these tables have ids that the model does not have: end with an error, or drop "
        "them with a warning (default: %(default)s)",
    )
    parser.add_argument(
        "--if-exists",
        choices=IF_EXISTS,
        default=IF_EXISTS[0],
        help="where there is such a table already: end with an error, or replace it "
        "(default: %(default)s)",
    )


def _run(args: argparse.Namespace) -> Outcome:
    written = Model.load(args.model).export(
        args.destination,
        args.what,
        to=args.to,
        prefix=args.prefix,
        item_metadata=args.item_metadata,
        user_metadata=args.user_metadata,
        id_column=args.id_column,
        unknown=args.unknown,
        if_exists=args.if_exists,
    )
    lines = [f"{n_rows:,} rows in {name}" for name, n_rows in written.items()]
    return {"written": written}, "\n".join(lines)


COMMAND = Command(
    "export",
    help="write the vectors, with ids and metadata, to a file or a database",
    example="demo-output/model items.parquet\n"
    "  cml-fast export demo-output/model shop.duckdb --what both",
    add_options=_add_options,
    run=_run,
)
