"""What is the same for all files: telling the format, refusing options, naming a damaged file."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from ...errors import DataError
from .text import open_binary


def check_not_empty(path: Path) -> None:
    """Raise FileNotFoundError where there is no file, DataError where nothing is in it."""
    with path.open("rb") as file:
        if not file.read(1):
            raise DataError(f"{path} is empty")


def choose_format(
    path: Path,
    format: str,
    formats: tuple[str, ...],
    guess: Callable[[Path, str], str | None],
) -> str:
    """Return the format asked for; for ``auto``, what ``guess`` makes of path and extension."""
    if format in formats:
        return format
    choices = f"one of {', '.join(formats)}"
    if format != "auto":
        raise ValueError(f"format must be auto or {choices}, got {format!r}")
    guessed = guess(path, Path(path.stem if path.suffix == ".gz" else path).suffix.lower())
    if guessed is None:
        raise ValueError(f"{path} does not tell its format by its name; pass format= {choices}")
    return guessed


def first_line(path: Path) -> bytes:
    """Return the first line of a text file."""
    with reading(path, "text"), open_binary(path) as file:
        return file.readline()


@contextlib.contextmanager
def reading(path: Path, format: str) -> Iterator[None]:
    """Name the file in the errors of a block that reads it."""
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {format}: {error}") from error


def refuse_useless(format: str, given: dict[str, bool]) -> None:
    """Refuse the options that were given, but would have no effect."""
    useless = [name for name, is_given in given.items() if is_given]
    if useless:
        raise ValueError(f"{', '.join(useless)} has no meaning for format {format!r}; leave it out")


def check_delimiter(delimiter: str | None) -> None:
    """Refuse what pyarrow cannot take for the character between columns."""
    if delimiter is not None and (
        len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii()
    ):
        raise ValueError(f"delimiter must be one ASCII character, got {delimiter!r}")
