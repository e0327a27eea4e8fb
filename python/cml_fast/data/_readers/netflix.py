"""The format ``netflix``: blocks of the Netflix Prize, ``item:`` and lines ``user,rating,date``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..._memory import check_room
from ...errors import DataError
from .files import Source
from .pairs import INTERACTIONS, UNUSED_RATING, Format

if TYPE_CHECKING:
    from .builder import PairBuilder

_ITEM_LINE = re.compile(rb"^(\d+):$", re.MULTILINE)
# What Python takes for an item and the number of its line.
_BYTES_FOR_AN_ITEM = 128
_FIELDS = ("user", "rating", "timestamp")


class _Blocks:
    """A source in which the lines of items are empty; it notes where they were.

    Attributes
    ----------
    name : str
        Of the source.
    lines, items : list of int
        The number of each line with an item, from 1, and the item.
    """

    def __init__(self, source: Source) -> None:
        self.name, self._source = source.name, source
        self.lines: list[int] = []
        self.items: list[bytes] = []

    def chunks(self, _: int) -> Iterator[bytes]:
        from .text import line_blocks  # only now, because pyarrow is slow to load

        for block in line_blocks(self._source, "utf-8"):
            check_room(self.name, block.data.count(b":") * _BYTES_FOR_AN_ITEM)
            line, at = block.first_line, 0
            for found in _ITEM_LINE.finditer(block.data):
                line += block.data.count(b"\n", at, found.start())
                at = found.start()
                self.lines.append(line)
                self.items.append(found[1])
            yield _ITEM_LINE.sub(b"", block.data)


def _read(source: Source, builder: PairBuilder) -> None:
    import pyarrow as pa

    from .text import Dialect, NoRecords, TextTable

    tally, blocks = builder.tally, _Blocks(source)
    try:
        table = TextTable(blocks, Dialect(",", "none"), tally)
    except NoRecords:
        raise DataError(f"{source.name} has no ratings, only lines of items") from None
    if len(table.first) != len(_FIELDS):
        raise DataError(
            f"{source.name}: {table.first_place} has {len(table.first)} fields, expected "
            f"{len(_FIELDS)}: user,rating,date"
        )
    roles = {"user": 0, "rating" if builder.needs_rating else UNUSED_RATING: 1, "timestamp": 2}
    for batch in table.batches(list(roles.values())):
        columns = dict(zip(roles, batch.columns, strict=True))
        # The item of a line is on the last line of an item before it.
        at = np.searchsorted(blocks.lines, batch.lines()) - 1
        items = pa.array([*blocks.items, None], pa.binary())  # [-1]: there is none before it
        columns["item"] = items.take(pa.array(np.where(at < 0, len(blocks.items), at)))
        builder.add(source.name, columns, batch.place)
    tally.header += len(blocks.lines)
    tally.empty -= len(blocks.lines)


NETFLIX = Format(
    "netflix",
    _read,
    ("min_rating", "missing"),
    (".txt",),
    lambda line: re.fullmatch(rb"\d+:", line.removeprefix(b"\xef\xbb\xbf").strip()) is not None,
    (INTERACTIONS,),
)
