"""The external ids of a data set: a Parquet file each, with one column ``id``.

Only functions that read or write ids import this module: pyarrow is slow to load.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ...errors import DataError

COLUMN = "id"
_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError)
_BATCH_ROWS = 1 << 16


class IdHash:
    """The SHA-256 of ids: of their values, or of the lengths and the bytes of texts.

    It does not depend on how they are divided into batches.
    """

    def __init__(self) -> None:
        self._values, self._lengths = hashlib.sha256(), hashlib.sha256()

    def update(self, ids: pa.Array) -> None:
        """Add ids, int64 or text."""
        if pa.types.is_integer(ids.type):
            self._values.update(np.ascontiguousarray(ids.to_numpy(), "<i8").data)
            return
        ids = pa.concat_arrays([ids.cast(pa.large_string())])  # without an offset
        _, offsets, values = ids.buffers()
        ends = np.frombuffer(offsets, "<i8")[: len(ids) + 1]
        self._lengths.update(np.ascontiguousarray(np.diff(ends)).data)
        self._values.update(memoryview(values)[: ends[-1]] if values else b"")

    def hexdigest(self) -> str:
        """Return the hash of all ids so far."""
        both = self._values.digest() + self._lengths.digest()
        return hashlib.sha256(both).hexdigest()


class IdWriter:
    """Writes ids in the order of their rows."""

    def __init__(self, path: Path, kind: pa.DataType) -> None:
        self._schema = pa.schema([pa.field(COLUMN, kind, nullable=False)])
        self._file = path.open("wb")
        self._writer = pa.parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        self._hash, self.count = IdHash(), 0

    def append(self, ids: pa.Array) -> None:
        """Write more ids."""
        batch = pa.record_batch([ids.cast(self._schema.field(0).type)], schema=self._schema)
        self._writer.write_batch(batch)
        self._hash.update(batch.column(0))
        self.count += len(ids)

    def finish(self) -> str:
        """Write the end of the file, and return the hash of all ids."""
        from .folder import sync

        self._writer.close()
        sync(self._file)
        self._file.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Give up a file that is not finished."""
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self._file.close()


def id_batches(path: Path) -> Iterator[pa.Array]:
    """Yield the ids of a file."""
    with _reading(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            yield batch.column(0)


def check_ids(path: Path, count: int) -> None:
    """Raise DataError unless a file says that it has so many ids."""
    with _reading(path) as file:
        found = file.metadata.num_rows
    if found != count:
        raise DataError(
            f"{path} has {found:,} ids instead of {count:,}: it is of another data set; copy the "
            "whole folder, or prepare the data set again"
        )


def read_ids(path: Path) -> np.ndarray:
    """Return all ids, int64 or objects with a str each."""
    with _reading(path) as file:
        ids: np.ndarray = file.read().column(0).to_numpy()
    return ids


def hash_ids(path: Path) -> str:
    """Return the hash of the ids in a file."""
    digest = IdHash()
    for ids in id_batches(path):
        digest.update(ids)
    return digest.hexdigest()


class _reading:
    """Opens a file of ids; what goes wrong with it is a DataError that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        try:
            self._file = pa.parquet.ParquetFile(self._path)
            if self._file.schema_arrow.names != [COLUMN]:
                raise ValueError(f"its columns are {self._file.schema_arrow.names}")
        except _ERRORS as error:
            self._fail(error)
        return self._file

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        if isinstance(error, _ERRORS):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        raise DataError(
            f"{self._path} cannot be read as the ids of a data set: {error}; copy the whole "
            "folder, or prepare the data set again"
        ) from error


def verify_ids(folder: Path, sums: dict[str, str]) -> None:
    """Raise DataError unless the ids in a folder have these hashes, by name."""
    for name, expected in sums.items():
        path = folder / f"{name}.parquet"
        if hash_ids(path) != expected:
            raise DataError(
                f"{path} is of another data set: copy the whole folder, or prepare the data set "
                "again"
            )
