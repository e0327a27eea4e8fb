"""What is compared: exact search and every kind of index of the package, through its own API.

``Library.build(model, had, setting)`` makes an `Index` of the items of a model, with at most
``BUILD_THREADS`` threads. ``Index.searcher(setting)`` gives a function of a user's row and a number
k, which returns the k items that `Model.recommend` finds, without those that the user has had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from cml_fast import Model

BUILD_THREADS = 2  # where that changes no result; one for Annoy and USearch
WISH = 0.98  # the share of exact search's items that "auto" is to find

Setting = dict[str, Any]
Search = Callable[[int, int], np.ndarray]


class Index(NamedTuple):
    searcher: Callable[[Setting], Search]
    n_bytes: int
    info: dict[str, Any]  # `Model.index_info`


@dataclass(frozen=True)
class Library:
    name: str
    kind: str  # of `Model.build_index`
    package: str | None  # to import; None: no further one
    builds: tuple[Setting, ...] = ({},)
    searches: tuple[Setting, ...] = ({},)  # each of them with each of the builds
    exact: bool = False

    def why_absent(self) -> str | None:
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"{self.package} is not installed: pip install cml-fast[bench]"

    def build(self, model: Model, had: sp.csr_array, setting: Setting) -> Index:
        if self.kind in ("faiss", "hnswlib"):
            setting = {**setting, "n_threads": BUILD_THREADS}
        if "factory" in setting:
            n_lists = max(1, int(len(model.item_vectors) ** 0.5))
            setting = {**setting, "factory": setting["factory"].format(lists=n_lists)}
        # The search options are those of the grid; "auto" has to find its own.
        wish = WISH if self.kind == "auto" else None
        indexed = model.build_index(self.kind, recall=wish, **setting)

        def searcher(setting: Setting) -> Search:
            options = {"cold_users": "vector", "approximate": True, **setting}
            return lambda row, k: indexed.recommend(row, k, had, **options)[0]

        return Index(searcher, _saved_bytes(indexed), indexed.index_info or {})


def _saved_bytes(model: Model) -> int:
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        return sum(path.stat().st_size for path in Path(folder).glob("index-*"))


GRAPHS = ({"m": 16, "ef_construction": 200},)
WIDTHS = tuple({"ef_search": ef} for ef in (10, 40, 80, 160, 320, 640))
PROBES = tuple({"nprobe": n} for n in (1, 2, 4, 8, 16, 32, 64))

ALL = {
    library.name: library
    for library in (
        # The first is what the speed-ups compare with.
        Library("exact", "exact", None, exact=True),
        Library("faiss Flat", "faiss", "faiss", ({"factory": "Flat"},), exact=True),
        Library("auto", "auto", None),
        Library("faiss", "faiss", "faiss", searches=PROBES),
        Library("faiss IVF", "faiss", "faiss", ({"factory": "IVF{lists},Flat"},), PROBES),
        Library("faiss HNSW", "faiss", "faiss", ({"factory": "HNSW16"},), WIDTHS),
        Library("hnswlib", "hnswlib", "hnswlib", GRAPHS, WIDTHS),
        Library("usearch", "usearch", "usearch", GRAPHS, WIDTHS),
        Library(
            "Annoy",
            "annoy",
            "annoy",
            ({"n_trees": 50},),
            tuple({"search_k": n} for n in (250, 1000, 2500, 5000, 10_000)),
        ),
    )
}
