"""Text files line by line: slow, for lists of ids, a header or the place of a fault.

Tables themselves are parsed by pyarrow, which does not say where in the file a row comes from.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from .files import open_binary

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TextTable(NamedTuple):
    """A text file with one record a line, or several lines if ``quoted``."""

    path: Path
    delimiter: str
    quoted: bool
    header: bool

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number, from 1, and the fields of each record that is not empty."""
        with (
            open_binary(self.path) as binary,
            io.TextIOWrapper(
                binary, encoding="utf-8-sig", errors="surrogateescape", newline=""
            ) as file,
        ):
            if not self.quoted:
                for number, line in enumerate(file, 1):
                    if line := line.rstrip("\r\n"):
                        yield number, line.split(self.delimiter)
                return
            reader = csv.reader(file, delimiter=self.delimiter)
            try:
                for fields in reader:
                    if fields:
                        yield reader.line_num, fields
            except csv.Error as error:
                # Python 3.10 refuses NUL, as UTF-16 has it; later ones pass it on.
                what = "is not UTF-8 text" if "NUL" in str(error) else f"cannot be read: {error}"
                raise DataError(f"{self.path}: line {reader.line_num} {what}") from error

    def place(self, row: int) -> str:
        """Return where row number ``row`` below the header is in the file."""
        return f"line {next(islice(self.records(), row + self.header, None))[0]}"


def is_utf8(fields: list[str]) -> bool:
    """Whether fields from `TextTable.records` were valid UTF-8 in the file."""
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:  # a surrogate, which stands for a byte that is not UTF-8
        return False
    return True


def integer_lines(path: Path) -> Iterator[tuple[int, array[int]]]:
    """Yield the number, from 1, and the ids of every line; an empty line has none."""
    with open_binary(path) as file:
        for line, text in enumerate(file, 1):
            words = text.removeprefix(_BYTE_ORDER_MARK).split()
            if words and not b"".join(words).isdigit():
                word = next(word for word in words if not word.isdigit())
                raise DataError(
                    f"{path}: line {line}: {word.decode(errors='backslashreplace')!r} is not an "
                    "id; ids here are whole numbers, separated by spaces"
                )
            try:
                yield line, array("q", map(int, words))
            except (OverflowError, ValueError) as error:
                raise DataError(f"{path}: line {line}: an id has over 64 bits") from error
