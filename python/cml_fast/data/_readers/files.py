"""Opening files, and naming the file in the errors of a block that reads it."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import DataError

COMPRESSED = ".gz"
# What the standard library raises for files that are damaged or truncated.
_FILE_ERRORS = (OSError, EOFError, zlib.error)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file that may be compressed with gzip."""
    return gzip.open(path) if path.suffix == COMPRESSED else path.open("rb")  # type: ignore[return-value]


def extension(path: Path) -> str:
    """Return the extension in lower case, without that of compression."""
    return Path(path.stem if path.suffix == COMPRESSED else path).suffix.lower()


def check_not_empty(path: Path) -> None:
    """Raise FileNotFoundError where there is no file, DataError where nothing is in it."""
    with path.open("rb") as file:
        if not file.read(1):
            raise DataError(f"{path} is empty")


def first_line(path: Path) -> bytes:
    """Return the first line of a text file."""
    with reading(path, "text"), open_binary(path) as file:
        return file.readline()


@contextlib.contextmanager
def reading(
    path: Path, what: str, errors: tuple[type[Exception], ...] = _FILE_ERRORS
) -> Iterator[None]:
    """Turn ``errors`` of a block that reads a file into a DataError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise  # it names the file by itself
    except errors as error:
        raise DataError(f"{path} cannot be read as {what}: {error}") from error
