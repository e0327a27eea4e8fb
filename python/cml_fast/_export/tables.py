"""What is exported: a table of ids, vectors and metadata, as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

ID = "id"
VECTOR = "vector"
# Vectors of so many bytes make a batch, and so bound the memory that an export needs.
BATCH_BYTES = 4 << 20


@dataclass(frozen=True)
class Table:
    """Users or items under the name of their table.

    Attributes
    ----------
    name : str
    ids : pyarrow.Array, (n,), int64 or string
    vectors : numpy.ndarray, (n, r), float32, C-contiguous
    metadata : pyarrow.Table
        Further columns, of the types that `metadata.COLUMN_TYPES` lists.
    places : numpy.ndarray, (n,), int64
        The row of ``metadata`` that belongs to each id, -1 if there is none.
    """

    name: str
    ids: pa.Array
    vectors: np.ndarray
    metadata: pa.Table
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def schema(self) -> pa.Schema:
        """The columns: id, vector and those of the metadata."""
        vector_type = pa.list_(pa.float32(), self.vectors.shape[1])
        own = {ID: self.ids.type, VECTOR: vector_type}
        fields = [pa.field(name, type, nullable=False) for name, type in own.items()]
        return pa.schema([*fields, *self.metadata.schema])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, a few megabytes at a time."""
        schema = self.schema
        n, r = self.vectors.shape
        step = max(1, BATCH_BYTES // (self.vectors.itemsize * r))
        for start in range(0, n, step):
            places = self.places[start : start + step]
            found = self.metadata.take(pa.array(places, mask=places < 0))
            flat = pa.array(self.vectors[start : start + step].ravel())
            columns = [
                self.ids.slice(start, step),
                pa.FixedSizeListArray.from_arrays(flat, r),
                *(column.combine_chunks() for column in found.columns),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def reader(self) -> pa.RecordBatchReader:
        """Return the batches as a stream, which other libraries read one at a time."""
        return pa.RecordBatchReader.from_batches(self.schema, self.batches())
