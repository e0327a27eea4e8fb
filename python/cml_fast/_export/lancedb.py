"""Tables of a LanceDB database, which is a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .tables import Table
from .target import Target, import_client, reported, table_exists


def _write(
    destination: str, tables: Sequence[Table], replace: bool, connection: dict[str, Any]
) -> None:
    lancedb = import_client("lancedb", "lancedb")
    is_new = "://" not in destination and not Path(destination).exists()
    # LanceDB raises RuntimeError for all that fails in its own code.
    with reported(destination, RuntimeError, ValueError, OSError, TypeError):
        database = lancedb.connect(destination, **connection)
        versions = {table.name: _version(database, table.name) for table in tables}
        for name, version in versions.items():
            if version is not None and not replace:
                raise table_exists(destination, name)
        try:
            for table in tables:
                mode = "create" if versions[table.name] is None else "overwrite"
                database.create_table(table.name, data=table.reader(), mode=mode)
        except BaseException:
            _undo(database, versions)
            if is_new:
                with contextlib.suppress(OSError):
                    Path(destination).rmdir()
            raise


def _version(database: Any, name: str) -> int | None:
    """Return the version of a table, None if there is no such table."""
    try:
        return int(database.open_table(name).version)
    except (ValueError, FileNotFoundError):
        return None


def _undo(database: Any, versions: dict[str, int | None]) -> None:
    """Remove the tables that there were not before, and bring back the others."""
    for name, version in versions.items():
        # The error that led here must not be hidden by another one.
        with contextlib.suppress(RuntimeError, ValueError, OSError):
            if version is None:
                database.drop_table(name, ignore_missing=True)
            elif _version(database, name) != version:
                table = database.open_table(name)
                table.checkout(version)
                table.restore()


LANCEDB = Target("lancedb", _write, suffixes=(".lancedb", ".lance"))
