"""An export from its arguments: what `Model.export` does."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from .._validation.scalars import check_choice
from .metadata import UNKNOWN, align
from .rows import Rows
from .tables import Table
from .target import Target
from .targets import target_of

WHAT = ("items", "users", "both")
IF_EXISTS = ("error", "replace")
# Such names need no quotes in any of the databases; PostgreSQL cuts longer ones.
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def export(
    destination: str | os.PathLike[str],
    entities: Mapping[str, Rows],
    metadata: Mapping[str, Any],
    *,
    what: str,
    to: str | None,
    prefix: str,
    id_column: str,
    unknown: str,
    if_exists: str,
    connection: dict[str, Any],
) -> dict[str, int]:
    """Write tables; arguments and errors are those of `Model.export`.

    ``entities`` are those of "items" and "users", ``metadata`` their tables or None.
    """
    address = os.fspath(destination)
    if not isinstance(address, str):
        raise TypeError(f"destination must be a path or a URL, got {destination!r}")
    target = target_of(address, to)
    check_choice("unknown", unknown, UNKNOWN)
    check_choice("if_exists", if_exists, IF_EXISTS)
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ValueError(
            "prefix must be at most 40 lower-case letters, digits and underscores and not begin "
            f"with a digit, got {prefix!r}"
        )
    chosen = _chosen(what, target, metadata)
    tables = []
    for name in chosen:
        rows, columns, places = entities[name], pa.table({}), None
        if metadata[name] is not None:
            argument = f"{name[:-1]}_metadata"
            columns, places = align(argument, metadata[name], id_column, rows.indices(), unknown)
        tables.append(Table(f"{prefix}{name}", rows, columns, places))
    target.write(address, tables, if_exists == "replace", connection)
    if target.is_file:
        return {address: len(tables[0])}
    return {table.name: len(table) for table in tables}


def _chosen(what: str, target: Target, metadata: Mapping[str, Any]) -> list[str]:
    """Return which of "items" and "users" are exported."""
    check_choice("what", what, WHAT)
    chosen = ["items", "users"] if what == "both" else [what]
    if target.is_file and len(chosen) > 1:
        raise ValueError(
            f"a file of {target.name} holds one table: export what='items' and what='users' to a "
            "file each"
        )
    for name, value in metadata.items():
        if value is not None and name not in chosen:
            raise ValueError(
                f"{name[:-1]}_metadata is given, but {name} are not exported: what='both' does both"
            )
    return chosen
