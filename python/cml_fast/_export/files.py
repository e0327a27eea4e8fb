"""Files of Parquet and of Arrow (its IPC format, also called Feather), one table each."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ..errors import ExportError
from .tables import VECTOR, Table
from .target import Target, reported

_Opener = Callable[[Path, pa.Schema], Any]


def _open_parquet(path: Path, schema: pa.Schema) -> Any:
    # A dictionary of vectors, all of which differ, would only cost time.
    repeated = [name for name in schema.names if name != VECTOR]
    return pyarrow.parquet.ParquetWriter(path, schema, use_dictionary=repeated)


def _open_arrow(path: Path, schema: pa.Schema) -> Any:
    return pa.ipc.new_file(path, schema)


def _write(
    open_file: _Opener,
    destination: str,
    tables: Sequence[Table],
    replace: bool,
    connection: dict[str, Any],
) -> None:
    for name in connection:
        raise TypeError(f"there is no option {name!r}: a file needs no connection")
    (table,) = tables
    path = Path(destination)
    if path.is_dir():
        raise ExportError(f"{path} is a folder: give the path of a file")
    if path.exists() and not replace:
        raise ExportError(f"{path} exists already: replace it with if_exists='replace'")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with reported(str(path), OSError, pa.ArrowException):
            with open_file(temporary, table.schema) as writer:
                for batch in table.batches():
                    writer.write_batch(batch)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


PARQUET = Target(
    "parquet", partial(_write, _open_parquet), suffixes=(".parquet", ".pq"), is_file=True
)
ARROW = Target("arrow", partial(_write, _open_arrow), suffixes=(".arrow", ".feather"), is_file=True)
