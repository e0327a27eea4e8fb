"""Approximate nearest items with an index of faiss (``cml-fast[faiss]``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .._memory import check_room
from .._validation.scalars import check_int, check_real
from ..errors import ModelError
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising
from .sealed import read_sealed, write_sealed

# Fewer items than this are searched one by one: there is nothing to gain from lists of them.
FLAT_BELOW = 1000
# Lists per square root of the number of items.
LISTS_PER_ROOT = 0.5
# Vectors of so many dimensions are long enough for codes of two dimensions each.
SHARED_FROM = 64
# Compressed vectors propose so many times the items that are then ranked by their float32 vectors.
K_FACTOR = 4.0
MORE_K_FACTORS = 16.0, 64.0
# faiss warns of fewer training points for a centroid, on standard error.
POINTS_PER_CENTROID = 1
# Sets of search parameters, which differ by the number of items fetched from a graph.
PARAMETERS_KEPT = 64
# faiss ends the process if its OpenBLAS gets no buffers, or if a thread cannot be started.
ROOM_BYTES, ROOM_BYTES_OF_THREAD = 192 << 20, 48 << 20
# What a wish for recall is searched between; with more, exact search is faster.
LEAST_EF_SEARCH, MOST_EF_SEARCH = 8, 4096
EF_CONSTRUCTION = 200
# A factory has no larger number than the largest of these: so many, so many for each dimension, and
# so many for each square root of the number of items, of which there are at most 16 in faiss's own
# advice about lists. A code has no more bits.
LARGEST_NUMBER, LARGEST_PER_DIMENSION, LARGEST_PER_ROOT, LARGEST_CODE = 512, 2, 32, 12
MOST_DIGITS = 9


class FaissIndex:
    """Any index of faiss's factory (https://github.com/facebookresearch/faiss); see `ItemIndex`.

    By default it is an inverted file: the items are in lists around centroids, compressed to four
    bits for one or two dimensions. Those of the ``nprobe`` lists nearest to a query are looked at
    (Jégou et al., "Product quantization for nearest neighbor search", TPAMI 2011).
    """

    kind: ClassVar[str] = "faiss"

    def __init__(self, index: Any, vectors: np.ndarray, info: dict[str, Any]) -> None:
        self._index = index
        self._vectors = vectors
        self.info = info
        self._options = _options(index)
        # Making the parameters of a search takes as long as the search.
        self._parameters = lru_cache(PARAMETERS_KEPT)(partial(_search_parameters, index))

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        *,
        factory: str | None = None,
        n_threads: int | None = None,
    ) -> FaissIndex:
        """Train and fill the index that ``factory`` describes."""
        faiss = _faiss()
        factory = default_factory(*vectors.shape) if factory is None else factory
        if not isinstance(factory, str):
            raise TypeError(f"factory must be a str like 'IVF256,Flat', got {factory!r}")
        _check_numbers(factory, *vectors.shape)
        n_threads = check_threads(n_threads)
        try:
            index = faiss.index_factory(vectors.shape[1], factory)
            for part in _parts(index):
                if isinstance(part, faiss.IndexIVF):
                    part.cp.min_points_per_centroid = POINTS_PER_CENTROID
                if hasattr(part, "pq"):
                    part.pq.cp.min_points_per_centroid = POINTS_PER_CENTROID
                if isinstance(part, faiss.IndexHNSW):
                    part.hnsw.efConstruction = EF_CONSTRUCTION
            with _threads(n_threads):
                index.train(vectors)
                index.add(vectors)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"factory={factory!r} does not describe an index for {len(vectors)} items of "
                f"{vectors.shape[1]} dimensions; faiss says: {_last_words(error)}"
            ) from error
        return cls(index, vectors, {"factory": factory})

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> FaissIndex:
        """Open a saved index, or raise ModelError if it is damaged or not one of ``vectors``."""
        faiss = _faiss()
        try:
            index = faiss.deserialize_index(read_sealed(path))
        except RuntimeError as error:  # of another release of faiss
            raise ModelError(f"{path} cannot be read: {_last_words(error)}") from error
        if (index.ntotal, index.d) != vectors.shape:
            raise ModelError(
                f"{path} has {index.ntotal} items instead of {len(vectors)}, build it again"
            )
        return cls(index, vectors, info)

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        write_sealed(path, _faiss().serialize_index(self._index).data)

    def add(self, vectors: np.ndarray) -> FaissIndex:
        """Return an index of ``vectors``, the first of which are those of this index."""
        index = _faiss().clone_index(self._index)
        index.add(vectors[len(self._vectors) :])
        return type(self)(index, vectors, self.info)

    def efforts(self) -> list[dict[str, Any]]:
        """Return search options, the more exact and slower the later."""
        faiss = _faiss()
        efforts: list[dict[str, Any]] = [{}]
        for part in _parts(self._index):
            if isinstance(part, faiss.IndexIVF):
                efforts = [{"nprobe": value} for value in rising(1, part.nlist)]
            if isinstance(part, faiss.IndexHNSW):
                most = min(MOST_EF_SEARCH, len(self._vectors))
                efforts = [{"ef_search": value} for value in rising(LEAST_EF_SEARCH, most)]
        if (
            "k_factor" in self._options
        ):  # seldom needed: what compression loses, more proposals find
            efforts += [{**efforts[-1], "k_factor": value} for value in MORE_K_FACTORS]
        return efforts

    def nearest(
        self,
        queries: np.ndarray,
        n: int,
        exclude: sp.csr_array,
        *,
        nprobe: int | None = None,
        ef_search: int | None = None,
        k_factor: float | None = None,
        n_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in `exact.nearest`."""
        n_threads = check_threads(n_threads, len(queries))
        given = {"nprobe": nprobe, "ef_search": ef_search, "k_factor": k_factor}
        for name, value in given.items():
            if value is None:
                continue
            if name == "k_factor":
                check_real(name, value, 1)
            else:
                check_int(name, value, 1, INT32_MAX)
            if name not in self._options:
                raise ValueError(f"{name} has no effect on {self.info['factory']!r}: leave it out")

        def propose(queries: np.ndarray, k: int) -> np.ndarray:
            width = max(k, ef_search or LEAST_EF_SEARCH) if "ef_search" in self._options else None
            parameters = self._parameters(nprobe, width, k_factor)
            with _threads(n_threads):
                found: np.ndarray = self._index.search(queries, k, params=parameters)[1]
            return found

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)


def default_factory(n_items: int, r: int) -> str:
    """Return the description of an index that is fast for so many items."""
    if n_items < FLAT_BELOW:
        return "Flat"
    shared = 1 if r < SHARED_FROM else 2  # dimensions of a code
    padded = r + r % shared
    pad = f"Pad{padded}," if padded > r else ""
    return f"{pad}IVF{round(LISTS_PER_ROOT * n_items**0.5)},PQ{padded // shared}x4fs,RFlat"


def _parts(index: Any) -> Iterator[Any]:
    """Yield the index, and those that are nested in it."""
    faiss = _faiss()
    index = faiss.downcast_index(index)
    yield index
    if isinstance(index, faiss.IndexRefine):
        yield from _parts(index.base_index)
    elif isinstance(index, faiss.IndexPreTransform):
        yield from _parts(index.index)


def _options(index: Any) -> set[str]:
    """Return the names of the search options that have an effect on an index."""
    faiss = _faiss()
    names = {
        faiss.IndexIVF: "nprobe",
        faiss.IndexHNSW: "ef_search",
        faiss.IndexRefine: "k_factor",
    }
    return {name for part in _parts(index) for of, name in names.items() if isinstance(part, of)}


def _search_parameters(
    index: Any, nprobe: int | None, ef_search: int | None, k_factor: float | None
) -> Any:
    """Return what faiss wants for one search; None where the index has nothing to set."""
    faiss = _faiss()
    index = faiss.downcast_index(index)
    given = nprobe, ef_search, k_factor
    if isinstance(index, faiss.IndexRefine):
        inner = _search_parameters(index.base_index, *given)
        return faiss.IndexRefineSearchParameters(
            k_factor=k_factor or K_FACTOR, base_index_params=inner
        )
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(
            index_params=_search_parameters(index.index, *given)
        )
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=nprobe or index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=ef_search)
    return None


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """Let faiss use so many threads, which is a setting of the whole process."""
    faiss = _faiss()
    check_room("faiss", ROOM_BYTES + n_threads * ROOM_BYTES_OF_THREAD)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _last_words(error: BaseException) -> str:
    """Return what faiss says after the place in its source."""
    return str(error).rpartition(": ")[2] or type(error).__name__


def _check_numbers(factory: str, n_items: int, r: int) -> None:
    """Raise ValueError if a factory has numbers for which faiss would take all memory."""
    most = max(LARGEST_NUMBER, LARGEST_PER_DIMENSION * r, int(LARGEST_PER_ROOT * n_items**0.5))
    for pattern, limit in (("[0-9]+", most), ("x([0-9]+)", LARGEST_CODE)):
        for digits in re.findall(pattern, factory):
            if len(digits) > MOST_DIGITS or int(digits) > limit:
                raise ValueError(
                    f"factory={factory!r} has the number {digits}, and at most {limit} makes sense "
                    f"there for {n_items} items of {r} dimensions"
                )


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "this index needs the package faiss: pip install cml-fast[faiss]"
        ) from error
    return faiss
