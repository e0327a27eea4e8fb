"""The users or items of a partitioned model, as an export reads them: a file at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from .._export.rows import Block
from ..data._ids import IdIndex
from ._parts import Entry, ids_in, read_table, vectors_in


class RowsInFiles:
    """All users, or all items.

    Parameters
    ----------
    what : str
        "user" or "item".
    folder : str
    entries : sequence of Entry
        Their files, at least one.
    n_dims : int
    """

    def __init__(self, what: str, folder: str, entries: Sequence[Entry], n_dims: int) -> None:
        self._what, self._folder, self._entries = what, folder, entries
        self.n, self.n_dims = sum(entry.rows for entry in entries), n_dims

    @property
    def id_type(self) -> pa.DataType:
        return read_table(self._folder, self._entries[0]).schema.field("id").type

    def indices(self) -> Iterator[IdIndex]:
        for table in self._tables():
            yield IdIndex(self._what, ids_in(table), len(table))

    def blocks(self) -> Iterator[Block]:
        for table in self._tables():
            yield Block(table["id"].combine_chunks(), vectors_in(table))

    def _tables(self) -> Iterator[pa.Table]:
        for entry in self._entries:
            yield read_table(self._folder, entry)
