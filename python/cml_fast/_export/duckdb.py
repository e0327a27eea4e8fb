"""Tables of a DuckDB file; vectors are arrays of a fixed length, FLOAT[r]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .tables import Table
from .target import Target, import_client, reported, table_exists


def _write(
    destination: str, tables: Sequence[Table], replace: bool, connection: dict[str, Any]
) -> None:
    duckdb = import_client("duckdb", "duckdb")
    path = Path(destination).absolute()
    is_new = not path.exists()
    try:
        with (
            reported(destination, duckdb.Error, OSError, TypeError),
            duckdb.connect(str(path), **connection) as database,
        ):
            database.begin()
            for table in tables:
                _create(database, table, destination, replace)
            database.commit()
    except BaseException:
        if is_new:
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        raise


def _create(database: Any, table: Table, destination: str, replace: bool) -> None:
    # A statement has run to its end only when its result has been fetched.
    known = "SELECT 1 FROM duckdb_tables() WHERE lower(table_name) = lower(?)"
    if database.execute(known, [table.name]).fetchall() and not replace:
        raise table_exists(destination, table.name)
    database.register("exported", table.reader())
    create = f'CREATE OR REPLACE TABLE "{table.name}" AS SELECT * FROM exported'
    database.execute(create).fetchall()
    database.unregister("exported")


DUCKDB = Target("duckdb", _write, suffixes=(".duckdb", ".ddb"))
