"""Files on any file system of `pyarrow.fs`, by path or URI."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def locate(path: str) -> tuple[Any, str]:
    """The file system of a path or URI, and the path on it."""
    from pyarrow import fs

    if "://" in path:
        found: tuple[Any, str] = fs.FileSystem.from_uri(path)
        return found
    return fs.LocalFileSystem(), path


@contextlib.contextmanager
def named_in_errors(path: str) -> Iterator[None]:
    """Say in an error of writing which file it was."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error


def write_file(folder: str, name: str, content: Any) -> None:
    """Write bytes to a file of a folder, which is made if it is absent."""
    system, place = locate(folder)
    with named_in_errors(f"{folder}/{name}"):
        system.create_dir(place, recursive=True)
        with system.open_output_stream(f"{place}/{name}") as file:
            file.write(content)


def replace_file(folder: str, name: str, content: bytes) -> None:
    """Write a file beside the one that is there, and then let it take its place."""
    system, place = locate(folder)
    with named_in_errors(f"{folder}/{name}"):
        with system.open_output_stream(f"{place}/{name}.new") as file:
            file.write(content)
        system.move(f"{place}/{name}.new", f"{place}/{name}")
