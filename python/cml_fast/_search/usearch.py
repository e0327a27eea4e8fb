"""Approximate nearest items with a graph of the package USearch (``cml-fast[usearch]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .._validation.scalars import check_int
from ..errors import ModelError
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising
from .sealed import read_sealed, write_sealed

# What a wish for recall is searched between; with more, exact search is faster.
LEAST_EF_SEARCH, MOST_EF_SEARCH = 8, 4096
LEAST_M, MOST_M = 2, 512
# With two threads that add items, USearch 2.26 leaves a few percent of them in places of the graph
# where no search finds them.
BUILD_THREADS = 1


class UsearchIndex:
    """A navigable small world graph (https://github.com/unum-cloud/usearch); see `ItemIndex`.

    It keeps the vectors as float32: the half precision that USearch takes by default loses recall.
    """

    kind: ClassVar[str] = "usearch"

    def __init__(self, graph: Any, vectors: np.ndarray, info: dict[str, Any]) -> None:
        self._graph = graph
        self._vectors = vectors
        self.info = info

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        *,
        m: int = 16,
        ef_construction: int = 200,
    ) -> UsearchIndex:
        """Build a graph with ``m`` links of each item, in one thread."""
        info = {
            "m": check_int("m", m, LEAST_M, MOST_M),
            "ef_construction": check_int("ef_construction", ef_construction, 1, INT32_MAX),
        }
        graph = _index_class()(
            ndim=vectors.shape[1],
            metric="l2sq",
            dtype="f32",
            connectivity=info["m"],
            expansion_add=info["ef_construction"],
        )
        graph.add(np.arange(len(vectors)), vectors, threads=BUILD_THREADS)
        return cls(graph, vectors, info)

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> UsearchIndex:
        """Open a saved graph, or raise ModelError if it is damaged or not one of ``vectors``."""
        index_class = _index_class()
        payload = read_sealed(path)
        try:
            graph = index_class.restore(payload.tobytes())
        except (RuntimeError, ValueError) as error:  # of another release of USearch
            raise ModelError(f"{path} cannot be read: {error}") from error
        if graph is None or (len(graph), graph.ndim) != vectors.shape:
            found = 0 if graph is None else len(graph)
            raise ModelError(f"{path} has {found} items instead of {len(vectors)}, build it again")
        return cls(graph, vectors, info)

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        write_sealed(path, self._graph.save())

    def add(self, vectors: np.ndarray) -> UsearchIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        known = len(self._vectors)
        graph = self._graph.copy()
        graph.add(np.arange(known, len(vectors)), vectors[known:], threads=BUILD_THREADS)
        return type(self)(graph, vectors, self.info)

    def efforts(self) -> list[dict[str, Any]]:
        """Return search options, the more exact and slower the later."""
        most = min(MOST_EF_SEARCH, len(self._vectors))
        return [{"ef_search": value} for value in rising(LEAST_EF_SEARCH, most)]

    def nearest(
        self,
        queries: np.ndarray,
        n: int,
        exclude: sp.csr_array,
        *,
        ef_search: int | None = None,
        n_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in `exact.nearest`.

        ``ef_search`` is the number of nearest items that a search keeps, at least those fetched.
        """
        if ef_search is not None:
            ef_search = check_int("ef_search", ef_search, 1, INT32_MAX)
        n_threads = check_threads(n_threads, len(queries))

        def propose(queries: np.ndarray, k: int) -> np.ndarray:
            self._graph.expansion_search = max(k, ef_search or LEAST_EF_SEARCH)
            # As a matrix, since a single vector gets another type of answer.
            found = self._graph.search(queries, k, threads=n_threads)
            keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
            counts = np.reshape(getattr(found, "counts", keys.shape[1]), (-1, 1))
            keys[np.arange(keys.shape[1]) >= counts] = -1
            return keys

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)


def _index_class() -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise ImportError(
            "this index needs the package usearch: pip install cml-fast[usearch]"
        ) from error
    return Index
