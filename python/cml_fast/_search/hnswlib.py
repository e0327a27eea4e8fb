"""Approximate nearest items with a graph of the package hnswlib (``cml-fast[hnswlib]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .._memory import memory_errors
from .._threads import startable_threads
from .._validation.scalars import check_int
from ..errors import ModelError
from .links import are_levels, are_links
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising
from .sealed import read_sealed, write_sealed

# What a wish for recall is searched between; with more, exact search is faster.
LEAST_EF_SEARCH, MOST_EF_SEARCH = 8, 4096
# hnswlib divides by the logarithm of M; larger graphs than this do not pay.
LEAST_M, MOST_M = 2, 512
# The arrays of a file: the item in each place of the graph, its level, and its links.
_DTYPES: dict[str, type[np.generic]] = {
    "labels": np.uint64,
    "levels": np.int32,
    "links": np.uint32,
    "upper": np.uint32,
    "entry": np.int64,
}
# What reading a file of another kind raises, whose reader knows more types than NumPy.
_WRONG = (SafetensorError, AttributeError, LookupError, TypeError, ValueError)


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
        info = _settings(m, ef_construction, seed)
        n_threads = check_threads(n_threads)
        hnswlib = _hnswlib()
        with memory_errors():
            graph = _empty_graph(hnswlib, vectors, info)
            graph.add_items(vectors, num_threads=startable_threads(n_threads))
        return cls(graph, vectors, info)

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> HnswlibIndex:
        """Open a saved graph, or raise ModelError if it is damaged or not one of ``vectors``."""
        hnswlib = _hnswlib()
        try:
            arrays = load(read_sealed(path).tobytes())
            settings = _settings(**{name: info[name] for name in ("m", "ef_construction", "seed")})
            _check_arrays(arrays, settings["m"], len(vectors))
        except _WRONG as error:
            raise ModelError(f"{path} cannot be used, build it again: {error}") from error
        return cls(_of_arrays(hnswlib, arrays, vectors, settings), vectors, info)

    def save(self, path: Path) -> None:
        """Write the links of the graph to a file; the vectors are in the model."""
        state = self._graph.__getstate__()[0]
        items = state["data_level0"].reshape(len(self._vectors), -1)
        arrays = {
            "labels": _words(items[:, state["label_offset"] :], np.uint64).ravel(),
            "levels": state["element_levels"],
            "links": _words(items[:, : state["offset_data"]], np.uint32),
            "upper": state["link_lists"].view(np.uint32),
            "entry": np.array([state["enterpoint_node"]], dtype=np.int64),
        }
        with memory_errors():
            content = save(arrays)
        write_sealed(path, content)

    def add(self, vectors: np.ndarray) -> HnswlibIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        known = len(self._vectors)
        graph = _of_state(_hnswlib(), self._graph.__getstate__()[0])
        graph.resize_index(len(vectors))
        n_threads = startable_threads(check_threads(None))
        graph.add_items(vectors[known:], np.arange(known, len(vectors)), num_threads=n_threads)
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
            return self._found(queries, k, startable_threads(n_threads))

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)

    def _found(self, queries: np.ndarray, k: int, n_threads: int) -> np.ndarray:
        try:
            labels: np.ndarray = self._graph.knn_query(queries, k, num_threads=n_threads)[0]
            return labels.astype(np.int64)
        except RuntimeError:  # one of the queries found fewer than k: the graph has come apart
            if len(queries) == 1:
                return np.full((1, k), -1)
            return np.concatenate([self._found(query[None], k, 1) for query in queries])


def _settings(m: int, ef_construction: int, seed: int) -> dict[str, int]:
    return {
        "m": check_int("m", m, LEAST_M, MOST_M),
        "ef_construction": check_int("ef_construction", ef_construction, 1, INT32_MAX),
        "seed": check_int("seed", seed, 0, INT32_MAX),
    }


def _empty_graph(hnswlib: Any, vectors: np.ndarray, settings: dict[str, int]) -> Any:
    graph = hnswlib.Index("l2", vectors.shape[1])
    graph.init_index(
        len(vectors),
        M=settings["m"],
        ef_construction=settings["ef_construction"],
        random_seed=settings["seed"],
    )
    return graph


def _words(rows: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Return the bytes of rows as numbers."""
    return np.ascontiguousarray(rows).view(dtype)


def _check_arrays(arrays: dict[str, np.ndarray], m: int, n_items: int) -> None:
    """Raise ValueError unless stored arrays are a graph of so many items, or KeyError."""
    for name, dtype in _DTYPES.items():
        if arrays[name].dtype != dtype:
            raise ValueError(f"{name} must be {np.dtype(dtype)}, found {arrays[name].dtype}")
    labels, levels, links = (arrays[name] for name in ("labels", "levels", "links"))
    if labels.shape != (n_items,) or levels.shape != (n_items,):
        raise ValueError(f"it has {labels.size} items instead of {n_items}")
    # On its lowest level an item has twice as many links as on those above.
    shapes = (n_items, 1 + 2 * m), (int(levels.sum(dtype=np.int64)) * (1 + m),), (1,)
    if (links.shape, arrays["upper"].shape, arrays["entry"].shape) != shapes:
        raise ValueError("it has more or fewer links than it says")
    upper = arrays["upper"].reshape(-1, 1 + m)
    if not (
        are_levels(levels, int(arrays["entry"][0]), int(levels.max()))
        and are_links(links, 0, levels)
        and are_links(upper, _levels_of_blocks(levels), levels)
        and np.array_equal(np.sort(labels), np.arange(n_items))
    ):
        raise ValueError("it refers to items that do not exist")


def _levels_of_blocks(levels: np.ndarray) -> np.ndarray:
    """Return 1, 2, ... up to the level of each item, one item after another."""
    ends = np.cumsum(levels, dtype=np.int64)
    before: np.ndarray = np.repeat(ends - levels, levels)
    levels_of_blocks: np.ndarray = np.arange(1, len(before) + 1) - before
    return levels_of_blocks


def _of_arrays(
    hnswlib: Any, arrays: dict[str, np.ndarray], vectors: np.ndarray, settings: dict[str, int]
) -> Any:
    """Make a graph of checked arrays; all else is as in an empty graph."""
    state = _empty_graph(hnswlib, vectors, settings).__getstate__()[0]
    labels, levels = arrays["labels"], arrays["levels"]
    n_items = len(labels)
    items = np.empty((n_items, state["size_data_per_element"]), dtype=np.uint8)
    items[:, : state["offset_data"]] = arrays["links"].view(np.uint8)
    items[:, state["offset_data"] : state["label_offset"]] = vectors[labels].view(np.uint8)
    items[:, state["label_offset"] :] = labels[:, None].view(np.uint8)
    return _of_state(
        hnswlib,
        {
            **state,
            "ep_added": True,
            "cur_element_count": n_items,
            "max_level": int(levels.max()),
            "enterpoint_node": int(arrays["entry"][0]),
            "label_lookup_external": labels,
            "label_lookup_internal": np.arange(n_items, dtype=np.uint32),
            "element_levels": levels,
            "data_level0": items.view(np.int8).ravel(),
            "link_lists": arrays["upper"].view(np.int8),
        },
    )


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
