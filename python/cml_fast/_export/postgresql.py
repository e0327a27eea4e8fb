"""Tables of a PostgreSQL database with the extension pgvector."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import ExportError
from .tables import ID, VECTOR, Table, vectors_of
from .target import Target, import_client, reported, table_exists

_TYPES = {
    pa.int64(): "int8",
    pa.float64(): "float8",
    pa.bool_(): "bool",
    pa.string(): "text",
    pa.date32(): "date",
}


def _write(
    destination: str, tables: Sequence[Table], replace: bool, connection: dict[str, Any]
) -> None:
    psycopg = import_client("psycopg", "postgresql")
    place = _place(psycopg, destination)
    with (
        reported(place, psycopg.Error, OSError),
        # One transaction: it is committed at the end of the block, or nothing of it is.
        psycopg.connect(destination, **connection) as database,
    ):
        _prepare_vectors(psycopg, database, place)
        for table in tables:
            _create(psycopg, database, table, place, replace)


def _place(psycopg: Any, destination: str) -> str:
    """Return how messages name the database: never with the password."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(destination)
    except psycopg.Error:
        raise ExportError(
            "the destination is no address of a PostgreSQL database: it must be like "
            "postgresql://user@host:5432/database"
        ) from None
    named = [f"{key}={parts[key]}" for key in ("host", "port", "user", "dbname") if key in parts]
    return " ".join(["the PostgreSQL database", *named])


def _prepare_vectors(psycopg: Any, database: Any, place: str) -> None:
    """Make the type ``vector`` known to the database and to the connection."""
    try:
        with database.transaction():
            database.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise ExportError(
            f"{place} has no extension pgvector: install it on the server and let an administrator "
            f"run CREATE EXTENSION vector ({' '.join(str(error).split())})"
        ) from error
    info = psycopg.types.TypeInfo.fetch(database, "vector")
    if info is None:
        raise ExportError(
            f"{place} has the extension pgvector in a schema that is not on the search path: add "
            "it with SET search_path"
        )
    info.register(database)

    class VectorDumper(psycopg.adapt.Dumper):  # type: ignore[misc]
        """The bytes in which pgvector sends and receives a vector."""

        format = psycopg.pq.Format.BINARY
        oid = info.oid

        def dump(self, vector: np.ndarray) -> bytes:
            return struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes()

    database.adapters.register_dumper(np.ndarray, VectorDumper)


def _create(psycopg: Any, database: Any, table: Table, place: str, replace: bool) -> None:
    """Fill a table under another name, and give it its name at the end.

    So readers of an old table wait only for the end.
    """
    sql = psycopg.sql
    (schema,) = database.execute("SELECT coalesce(current_schema(), 'public')").fetchone()
    name = sql.Identifier(schema, table.name)
    filled = sql.Identifier(schema, f"{table.name}_new")
    known = database.execute("SELECT to_regclass(%s)", [name.as_string(database)]).fetchone()[0]
    if known and not replace:
        raise table_exists(place, table.name)
    types = {field.name: _sql_type(field.type, table) for field in table.schema}
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(type))
        for column, type in types.items()
    )
    database.execute(sql.SQL("CREATE TABLE {} ({})").format(filled, columns))
    copy_rows = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(filled)
    with database.cursor() as cursor, cursor.copy(copy_rows) as copy:
        copy.set_types([type.partition("(")[0] for type in types.values()])
        for row in _rows(table):
            copy.write_row(row)
    if known:
        database.execute(sql.SQL("DROP TABLE {}").format(name))
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    database.execute(rename.format(filled, sql.Identifier(table.name)))
    add_key = sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})")
    database.execute(add_key.format(name, sql.Identifier(ID)))


def _rows(table: Table) -> Any:
    """Yield the rows with the types of Python, and vectors as arrays."""
    for batch in table.batches():
        columns = [
            vectors_of(batch) if name == VECTOR else column.to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


def _sql_type(type: pa.DataType, table: Table) -> str:
    if pa.types.is_fixed_size_list(type):
        return f"vector({table.rows.n_dims})"
    if pa.types.is_list(type):
        return f"{_sql_type(type.value_type, table)}[]"
    if pa.types.is_timestamp(type):
        return "timestamp" if type.tz is None else "timestamptz"
    return _TYPES[type]


POSTGRESQL = Target("postgresql", _write, schemes=("postgresql", "postgres"))
