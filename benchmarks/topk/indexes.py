"""Search for the nearest items: exact search and four libraries behind one interface.

``Library.build(items, setting)`` makes an `Index` of the rows of ``items``, with at most
``BUILD_THREADS`` threads. ``Index.searcher(setting)`` gives a function of one query and a number n,
which returns up to n row numbers, nearest first by Euclidean distance. A package is imported when
its index is built, not before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BUILD_THREADS = 2  # one for Annoy, whose forest would depend on their number

Setting = dict[str, Any]
Search = Callable[[np.ndarray, int], list[int]]


class Index(NamedTuple):
    searcher: Callable[[Setting], Search]
    n_bytes: int


@dataclass(frozen=True)
class Library:
    name: str
    package: str | None  # to import; None: no further one
    build: Callable[[np.ndarray, Setting], Index]
    builds: tuple[Setting, ...] = ({},)
    searches: tuple[Setting, ...] = ({},)  # each of them with each of the builds
    exact: bool = False

    def why_absent(self) -> str | None:
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"{self.package} is not installed: pip install cml-fast[bench]"


# --- exact --------------------------------------------------------------------------------------


def numpy_exact(items: np.ndarray, setting: Setting) -> Index:
    """|v|^2 - 2 u v, a product of matrix and vector, and the n smallest of these."""
    norms = np.einsum("ij,ij->i", items, items)

    def search(query: np.ndarray, n: int) -> list[int]:
        scores = norms - items @ (2 * query)
        nearest = np.argpartition(scores, n - 1)[:n]
        return nearest[np.argsort(scores[nearest])].tolist()

    return Index(lambda _: search, items.nbytes + norms.nbytes)


def faiss_flat(items: np.ndarray, setting: Setting) -> Index:
    import faiss

    return _of_faiss(faiss.IndexFlatL2(items.shape[1]), items, lambda _: None)


# --- approximate --------------------------------------------------------------------------------


def annoy(items: np.ndarray, setting: Setting) -> Index:
    """The forest that `Model.build_index` builds, queried directly, as the other libraries are."""
    from annoy import AnnoyIndex

    forest = AnnoyIndex(items.shape[1], "euclidean")
    forest.set_seed(0)
    for row, vector in enumerate(items):
        forest.add_item(row, vector.tolist())
    forest.build(setting["n_trees"], n_jobs=1)
    neighbours = forest.get_nns_by_vector

    def searcher(setting: Setting) -> Search:
        search_k = setting["search_k"]
        return lambda query, n: neighbours(query.tolist(), n, search_k)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forest"
        forest.save(str(path))  # maps the file, which exists for as long as it is mapped
        return Index(searcher, path.stat().st_size)


def faiss_ivf(items: np.ndarray, setting: Setting) -> Index:
    """Lists around ``lists_per_root`` times the square root of the number of items means."""
    import faiss

    n_lists = max(1, int(setting["lists_per_root"] * len(items) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(items.shape[1]), items.shape[1], n_lists)
    index.cp.min_points_per_centroid = 1  # no warning for few items
    return _of_faiss(index, items, lambda s: faiss.SearchParametersIVF(nprobe=s["nprobe"]))


def faiss_hnsw(items: np.ndarray, setting: Setting) -> Index:
    import faiss

    index = faiss.IndexHNSWFlat(items.shape[1], setting["m"])
    index.hnsw.efConstruction = setting["ef_construction"]
    return _of_faiss(index, items, lambda s: faiss.SearchParametersHNSW(efSearch=s["ef"]))


def _of_faiss(index: Any, items: np.ndarray, parameters: Callable[[Setting], Any]) -> Index:
    import faiss

    faiss.omp_set_num_threads(BUILD_THREADS)
    index.train(items)
    index.add(items)

    def searcher(setting: Setting) -> Search:
        given = parameters(setting)

        def search(query: np.ndarray, n: int) -> list[int]:
            found = index.search(query[None], n, params=given)[1][0]
            return found[found >= 0].tolist()

        return search

    return Index(searcher, len(faiss.serialize_index(index)))


def hnswlib(items: np.ndarray, setting: Setting) -> Index:
    from hnswlib import Index as Graph

    graph = Graph("l2", items.shape[1])
    graph.init_index(
        len(items), M=setting["m"], ef_construction=setting["ef_construction"], random_seed=0
    )
    graph.add_items(items, num_threads=BUILD_THREADS)

    def searcher(setting: Setting) -> Search:
        def search(query: np.ndarray, n: int) -> list[int]:
            graph.set_ef(max(setting["ef"], n))
            try:
                return graph.knn_query(query, n, num_threads=1)[0][0].tolist()
            except RuntimeError:  # raised when it finds fewer than n
                return []

        return search

    return Index(searcher, graph.index_file_size())


def usearch(items: np.ndarray, setting: Setting) -> Index:
    from usearch.index import Index as Graph

    graph = Graph(
        ndim=items.shape[1],
        metric="l2sq",
        dtype="f32",  # as the others; the default is half precision
        connectivity=setting["m"],
        expansion_add=setting["ef_construction"],
    )
    graph.add(np.arange(len(items)), items, threads=BUILD_THREADS)

    def searcher(setting: Setting) -> Search:
        def search(query: np.ndarray, n: int) -> list[int]:
            graph.expansion_search = max(setting["ef"], n)
            return graph.search(query, n, threads=1).keys.tolist()

        return search

    return Index(searcher, graph.serialized_length)


GRAPHS = ({"m": 8, "ef_construction": 100}, {"m": 16, "ef_construction": 200})
WIDTHS = tuple({"ef": ef} for ef in (10, 40, 80, 160, 320, 640))

ALL = {
    library.name: library
    for library in (
        Library("NumPy", None, numpy_exact, exact=True),
        Library("faiss Flat", "faiss", faiss_flat, exact=True),
        Library(
            "Annoy",
            "annoy",
            annoy,
            tuple({"n_trees": n} for n in (10, 50, 100, 200)),
            tuple({"search_k": n} for n in (250, 1000, 2500, 5000, 10_000)),
        ),
        Library(
            "faiss IVF",
            "faiss",
            faiss_ivf,
            tuple({"lists_per_root": n} for n in (1, 4)),
            tuple({"nprobe": n} for n in (1, 2, 4, 8, 16, 32, 64)),
        ),
        Library("faiss HNSW", "faiss", faiss_hnsw, GRAPHS, WIDTHS),
        Library("hnswlib", "hnswlib", hnswlib, GRAPHS, WIDTHS),
        Library("usearch", "usearch", usearch, GRAPHS, WIDTHS),
    )
}
