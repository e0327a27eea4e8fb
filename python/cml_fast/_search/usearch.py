"""Approximate nearest items with a graph of the package USearch (``cml-fast[usearch]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .._memory import memory_errors
from .._threads import startable_threads
from .._validation.scalars import check_int
from ..errors import ModelError
from .links import are_levels, are_links
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising
from .sealed import read_sealed, write_sealed

# What a wish for recall is searched between; with more, exact search is faster.
LEAST_EF_SEARCH, MOST_EF_SEARCH = 8, 4096
LEAST_M, MOST_M = 2, 512
# With two threads that add items, USearch 2.26 leaves a few percent of them in places of the graph
# where no search finds them.
BUILD_THREADS = 1
# The parts of a file.
_SIZE = np.dtype([("rows", "<u4"), ("bytes", "<u4")])
_HEAD = np.dtype(
    [("name", "S7"), ("release", "V6"), ("types", "V4"), ("items", "<u8"), ("rest", "V39")]
)
_GRAPH = np.dtype([(name, "<u8") for name in ("items", "m", "m_lowest", "level", "entry")])
_NODE = np.dtype([("item", "<u8"), ("level", "<i2")])
LEVEL, LINK = np.dtype("<i2"), np.dtype("<u4")
# Items that are checked together; it bounds the memory that this takes.
BLOCK_NODES = 1 << 16


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
        info = _settings(m, ef_construction)
        graph = _empty_graph(vectors, info)
        with memory_errors():
            graph.add(np.arange(len(vectors)), vectors, threads=BUILD_THREADS)
        return cls(graph, vectors, info)

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> UsearchIndex:
        """Open a saved graph, or raise ModelError if it is damaged or not one of ``vectors``."""
        index_class = _index_class()
        payload = read_sealed(path)
        try:
            settings = _settings(**{name: info[name] for name in ("m", "ef_construction")})
            empty = np.frombuffer(_empty_graph(vectors, settings).save(), dtype=np.uint8)
            _check_payload(payload, empty, vectors, settings["m"])
            graph = index_class.restore(payload.tobytes())
        # A RuntimeError: the file is of a release of USearch that this one does not know.
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{path} cannot be used, build it again: {error}") from error
        return cls(graph, vectors, info)

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        write_sealed(path, self._graph.save())

    def add(self, vectors: np.ndarray) -> UsearchIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        known = len(self._vectors)
        with memory_errors():
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
            found = self._graph.search(queries, k, threads=startable_threads(n_threads))
            keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
            counts = np.reshape(getattr(found, "counts", keys.shape[1]), (-1, 1))
            keys[np.arange(keys.shape[1]) >= counts] = -1
            return keys

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)


def _settings(m: int, ef_construction: int) -> dict[str, int]:
    return {
        "m": check_int("m", m, LEAST_M, MOST_M),
        "ef_construction": check_int("ef_construction", ef_construction, 1, INT32_MAX),
    }


def _empty_graph(vectors: np.ndarray, settings: dict[str, int]) -> Any:
    return _index_class()(
        ndim=vectors.shape[1],
        metric="l2sq",
        dtype="f32",
        connectivity=settings["m"],
        expansion_add=settings["ef_construction"],
    )


def _check_payload(payload: np.ndarray, empty: np.ndarray, vectors: np.ndarray, m: int) -> None:
    """Raise ValueError unless the bytes of a graph, uint8, are one of these vectors.

    They are, in this order, numbers of rows and of bytes of a row; the vectors; a head, which is
    that of an empty graph but for the number of items; numbers of the graph; the level of each
    item; and each item, with its number, its level, and its blocks of links from level 0 upwards.
    """
    n_items = len(vectors)
    size = payload[: _SIZE.itemsize].view(_SIZE)
    if not size.size or size["rows"][0] != n_items:
        raise ValueError(f"it has {size['rows'][0] if size.size else 0} items instead of {n_items}")
    head = empty[_SIZE.itemsize : _SIZE.itemsize + _HEAD.itemsize].copy().view(_HEAD)
    head["items"] = n_items
    ends = np.cumsum(
        [_SIZE.itemsize, vectors.nbytes, _HEAD.itemsize, _GRAPH.itemsize, n_items * LEVEL.itemsize]
    )
    if len(payload) < ends[-1]:
        raise ValueError("it is too short")
    _, stored_vectors, stored_head, graph, levels, nodes = np.split(payload, ends)
    head["release"] = stored_head.view(_HEAD)["release"]
    (numbers,) = graph.copy().view(_GRAPH).tolist()
    levels = levels.copy().view(LEVEL)
    if (
        size["bytes"][0] != vectors.shape[1] * vectors.itemsize
        or stored_vectors.tobytes() != vectors.tobytes()
        or stored_head.tobytes() != head.tobytes()
        or numbers[:3] != (n_items, m, 2 * m)
        or not are_levels(levels, numbers[4], numbers[3])
    ):
        raise ValueError("it is not a graph of these vectors, or of another release of USearch")
    _check_nodes(nodes, levels, m)


def _check_nodes(nodes: np.ndarray, levels: np.ndarray, m: int) -> None:
    """Raise ValueError unless these bytes are the items of a graph with these levels."""
    lowest, upper = 1 + 2 * m, 1 + m  # words of a block of links
    sizes = _NODE.itemsize + (lowest + levels.astype(np.int64) * upper) * LINK.itemsize
    if int(sizes.sum()) != len(nodes):
        raise ValueError("it has more or fewer links than it says")
    begins = np.cumsum(sizes) - sizes
    for level in np.unique(levels):
        members = np.flatnonzero(levels == level)
        for start in range(0, len(members), BLOCK_NODES):
            part = members[start : start + BLOCK_NODES]
            size = sizes[part[0]]
            rows = np.lib.stride_tricks.sliding_window_view(nodes, size)[begins[part]]
            own = rows[:, : _NODE.itemsize].copy().view(_NODE)[:, 0]
            links = rows[:, _NODE.itemsize :].copy().view(LINK)
            above = links[:, lowest:].reshape(-1, upper)
            of_level = np.tile(np.arange(1, level + 1), len(part))
            if not (
                (own["item"] == part).all()
                and (own["level"] == level).all()
                and are_links(links[:, :lowest], 0, levels)
                and are_links(above, of_level, levels)
            ):
                raise ValueError("it refers to items that do not exist")


def _index_class() -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise ImportError(
            "this index needs the package usearch: pip install cml-fast[usearch]"
        ) from error
    return Index
