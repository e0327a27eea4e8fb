"""Where the users or items of an export come from: memory, or files that are read one by one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from .._validation.showing import quoted
from ..data._ids import IdIndex


class Block(NamedTuple):
    """Some successive users or items.

    Attributes
    ----------
    ids : pyarrow.Array, (m,), int64 or string
    vectors : numpy.ndarray, (m, r), float32, C-contiguous
    """

    ids: pa.Array
    vectors: np.ndarray


class Rows(Protocol):
    """All users or items, in blocks of which one at a time has to be in memory."""

    @property
    def n(self) -> int:
        """How many there are."""

    @property
    def n_dims(self) -> int:
        """The length r of a vector."""

    @property
    def id_type(self) -> pa.DataType:
        """Of the ids: int64 or string."""

    def indices(self) -> Iterator[IdIndex]:
        """Yield the ids of each block."""

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order."""


class InMemory:
    """The users or items of a model in memory, as one block.

    Parameters
    ----------
    index : IdIndex
    vectors : numpy.ndarray, (n, r), float32, C-contiguous
    """

    def __init__(self, index: IdIndex, vectors: np.ndarray) -> None:
        self._index, self._vectors = index, vectors
        self.n, self.n_dims = vectors.shape

    @property
    def id_type(self) -> pa.DataType:
        return self._ids.type

    def indices(self) -> Iterator[IdIndex]:
        yield self._index

    def blocks(self) -> Iterator[Block]:
        yield Block(self._ids, self._vectors)

    @cached_property
    def _ids(self) -> pa.Array:
        ids = self._index.array
        try:
            return pa.array(ids, pa.int64() if ids.dtype.kind == "i" else pa.string())
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the id {quoted(error.object)} of {self._index.argument} is no valid Unicode, "
                "which a table needs"
            ) from error
