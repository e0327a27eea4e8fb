"""How many rows files have, before they are read: what Parquet says, and what lines let expect."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet

from .._readers.files import sources
from .._readers.tables import PARQUET_ERRORS

_PARQUET_MAGIC = b"PAR1"


def estimated_rows(files: Sequence[Path]) -> int:
    """Return about how many rows there are.

    A file of text has as many as its size allows, if its other lines are as long as the first ones,
    and if the rest of a packed file is packed as well as zlib packs these. What is no regular file
    counts as empty, because looking at it would take something away.
    """
    return sum(_rows_of(path) for path in files if path.is_file())


def _rows_of(path: Path) -> int:
    size = path.stat().st_size
    for source in sources(str(path)):
        head = source.head
        if head.startswith(_PARQUET_MAGIC):
            try:
                return int(pyarrow.parquet.ParquetFile(path).metadata.num_rows)
            except PARQUET_ERRORS:
                return 0  # whoever reads it says what is wrong
        with path.open("rb") as file:
            is_packed = file.read(len(head)) != head
        size_of_head = len(zlib.compress(head)) if is_packed else len(head)
        return head.count(b"\n") * size // size_of_head
    return 0
