"""Exact search as a kind of index, for few items and as what other kinds are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from . import exact
from .sealed import read_sealed, write_sealed


class ExactIndex:
    """All items, compared with each query; see `index.ItemIndex`."""

    kind: ClassVar[str] = "exact"

    def __init__(self, vectors: np.ndarray, info: dict[str, Any]) -> None:
        self._vectors = vectors
        self._norms = exact.squared_lengths(vectors)
        self.info = info

    @classmethod
    def build(cls, vectors: np.ndarray) -> ExactIndex:
        """Keep the vectors."""
        return cls(vectors, {})

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> ExactIndex:
        """Check the file, which says no more than that it is one of this kind."""
        read_sealed(path)
        return cls(vectors, info)

    def save(self, path: Path) -> None:
        """Write a file without content: the vectors are all that there is."""
        write_sealed(path, b"")

    def add(self, vectors: np.ndarray) -> ExactIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        return type(self)(vectors, self.info)

    def efforts(self) -> list[dict[str, Any]]:
        """Return no options: the search is exact."""
        return [{}]

    def nearest(
        self,
        queries: np.ndarray,
        n: int,
        exclude: sp.csr_array,
        *,
        n_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``n`` nearest items; arguments and results as in `exact.nearest`."""
        return exact.nearest(queries, self._vectors, n, exclude, n_threads, self._norms)
