"""Approximate nearest items with a graph of the package hnswlib (``cml-fast[hnswlib]``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .._validation.scalars import check_int
from ..errors import ModelError
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising
from .sealed import read_sealed, write_sealed

# What a wish for recall is searched between; with more, exact search is faster.
LEAST_EF_SEARCH, MOST_EF_SEARCH = 8, 4096
# hnswlib divides by the logarithm of M; larger graphs than this do not pay.
LEAST_M, MOST_M = 2, 512


class HnswlibIndex:
    """A hierarchical navigable small world graph (https://github.com/nmslib/hnswlib).

    From Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
    hierarchical navigable small world graphs", TPAMI 2020. See `index.ItemIndex`.
    """

    kind: ClassVar[str] = "hnswlib"

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
        seed: int = 0,
        n_threads: int | None = None,
    ) -> HnswlibIndex:
        """Build a graph with ``m`` links of each item; one thread makes it reproducible."""
        info = {
            "m": check_int("m", m, LEAST_M, MOST_M),
            "ef_construction": check_int("ef_construction", ef_construction, 1, INT32_MAX),
            "seed": check_int("seed", seed, 0, INT32_MAX),
        }
        n_threads = check_threads(n_threads)
        graph = _hnswlib().Index("l2", vectors.shape[1])
        graph.init_index(
            len(vectors), M=m, ef_construction=ef_construction, random_seed=info["seed"]
        )
        graph.add_items(vectors, num_threads=n_threads)
        return cls(graph, vectors, info)

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> HnswlibIndex:
        """Open a saved graph, or raise ModelError if it is damaged or not one of ``vectors``."""
        hnswlib = _hnswlib()
        try:
            arrays = load(read_sealed(path).tobytes())
            state = {**json.loads(arrays.pop("scalars").tobytes()), **arrays}
            graph = _of_state(hnswlib, state)
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        if (graph.get_current_count(), graph.dim) != vectors.shape:
            raise ModelError(
                f"{path} has {graph.get_current_count()} items instead of {len(vectors)}, build "
                "it again"
            )
        return cls(graph, vectors, info)

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        state = self._graph.__getstate__()[0]
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        scalars = {key: value for key, value in state.items() if key not in arrays}
        text = np.frombuffer(json.dumps(scalars).encode("ascii"), dtype=np.uint8)
        write_sealed(path, save({**arrays, "scalars": text}))

    def add(self, vectors: np.ndarray) -> HnswlibIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        known = len(self._vectors)
        graph = _of_state(_hnswlib(), self._graph.__getstate__()[0])
        graph.resize_index(len(vectors))
        graph.add_items(
            vectors[known:], np.arange(known, len(vectors)), num_threads=check_threads(None)
        )
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
            self._graph.set_ef(max(k, ef_search or LEAST_EF_SEARCH))
            return self._found(queries, k, n_threads)

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)

    def _found(self, queries: np.ndarray, k: int, n_threads: int) -> np.ndarray:
        try:
            labels: np.ndarray = self._graph.knn_query(queries, k, num_threads=n_threads)[0]
            return labels.astype(np.int64)
        except RuntimeError:  # one of the queries found fewer than k: the graph has come apart
            if len(queries) == 1:
                return np.full((1, k), -1)
            return np.concatenate([self._found(query[None], k, 1) for query in queries])


def _of_state(hnswlib: Any, state: dict[str, Any]) -> Any:
    graph = hnswlib.Index.__new__(hnswlib.Index)
    graph.__setstate__((state,))
    return graph


def _hnswlib() -> Any:
    try:
        import hnswlib
    except ImportError as error:
        raise ImportError(
            "this index needs the package hnswlib: pip install cml-fast[hnswlib]"
        ) from error
    return hnswlib
