"""What is exported: a table of ids, vectors and metadata, as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from .rows import Rows

ID = "id"
VECTOR = "vector"
# Vectors of so many bytes make a batch, and so bound the memory that an export needs.
BATCH_BYTES = 4 << 20


class Table:
    """Users or items under the name of their table.

    Parameters
    ----------
    name : str
    rows : Rows
    metadata : pyarrow.Table
        Further columns, of the types that `metadata.COLUMN_TYPES` lists.
    places : numpy.ndarray, (n,), int64, or None
        The row of ``metadata`` that belongs to each id, -1 if there is none; None if no id has one.

    Attributes
    ----------
    schema : pyarrow.Schema
        The columns: id, vector and those of the metadata.
    """

    def __init__(
        self, name: str, rows: Rows, metadata: pa.Table, places: np.ndarray | None
    ) -> None:
        self.name, self.rows = name, rows
        self._metadata, self._places = metadata, places
        own = {ID: rows.id_type, VECTOR: pa.list_(pa.float32(), rows.n_dims)}
        fields = [pa.field(column, type, nullable=False) for column, type in own.items()]
        self.schema = pa.schema([*fields, *metadata.schema])

    def __len__(self) -> int:
        return self.rows.n

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, a few megabytes at a time."""
        r = self.rows.n_dims
        step = max(1, BATCH_BYTES // (np.dtype(np.float32).itemsize * r))
        first = 0
        for ids, vectors in self.rows.blocks():
            for start in range(0, len(vectors), step):
                flat = pa.array(vectors[start : start + step].ravel())
                columns = [
                    ids.slice(start, step),
                    pa.FixedSizeListArray.from_arrays(flat, r),
                    *self._further(first + start, min(step, len(vectors) - start)),
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            first += len(vectors)

    def _further(self, first: int, n: int) -> Iterator[pa.Array]:
        """Yield the columns of the metadata for ``n`` rows."""
        if self._places is not None:
            places = self._places[first : first + n]
            found = self._metadata.take(pa.array(places, mask=places < 0))
            yield from (column.combine_chunks() for column in found.columns)

    def reader(self) -> pa.RecordBatchReader:
        """Return the batches as a stream, which other libraries read one at a time."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())


def vectors_of(batch: pa.RecordBatch) -> np.ndarray:
    """Return the vectors of a batch, (m, r) float32, which are not copied."""
    flat = batch.column(VECTOR).flatten().to_numpy()
    return np.asarray(flat).reshape(len(batch), -1)
