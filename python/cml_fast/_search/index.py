"""Approximate search: what every index of items offers, and the kinds of index that there are.

A new kind is one file with a class that has the members of `ItemIndex`, and one line in `KINDS`;
`choice.py` says in which order "auto" tries the kinds. Nothing else in the package names a kind.
"""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy.sparse as sp

from ..errors import ModelError
from .annoy import AnnoyIndex
from .exact_index import ExactIndex
from .faiss import FaissIndex
from .hnswlib import HnswlibIndex
from .usearch import UsearchIndex


class ItemIndex(Protocol):
    """An index of the item vectors of one model.

    An index does not change; `add` returns another one. Options, of the building as of the search,
    are keyword-only parameters with defaults; `build` and `nearest` check their values. A class
    that needs a package of its own imports it inside of `build` and `load`, and its ImportError
    says what to install.

    Attributes
    ----------
    kind : str
        The name in `KINDS`: lower-case letters. It is also the suffix of the saved file.
    info : dict
        The JSON values that `load` needs besides the file and the vectors, and under SEARCH the
        search options to use where the caller gives none.
    """

    kind: ClassVar[str]
    info: dict[str, Any]

    @classmethod
    def build(cls, vectors: np.ndarray, *args: Any, **options: Any) -> ItemIndex:
        """Index the vectors, (n_items, r) float32 and read-only; they may be kept, not copied."""

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> ItemIndex:
        """Open what `save` wrote for the same vectors, or raise ModelError.

        The file is verified before the library sees it, so that changed bytes cannot crash it.
        """

    def save(self, path: Path) -> None:
        """Write the index to one file."""

    def add(self, vectors: np.ndarray) -> ItemIndex | None:
        """Return an index of ``vectors``, the first of which are those of this index.

        None if this kind has to be built again. This index stays as it is.
        """

    def efforts(self) -> list[dict[str, Any]]:
        """Return search options to try, the more exact and slower the later; at least one dict."""

    def nearest(
        self, queries: np.ndarray, n: int, exclude: sp.csr_array, *args: Any, **options: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in `exact.nearest`.

        ``n_threads`` is an option of every kind. `proposals.nearest_of_proposed` turns what a
        library proposes into results.
        """


KINDS: dict[str, type[ItemIndex]] = {
    index_class.kind: index_class
    for index_class in (ExactIndex, FaissIndex, HnswlibIndex, UsearchIndex, AnnoyIndex)
}
SEARCH = "search"


def build_index(kind: str, vectors: np.ndarray, options: dict[str, Any]) -> ItemIndex:
    """Build an index, or raise ValueError for an unknown kind, TypeError for an unknown option."""
    index_class = KINDS[kind]
    _check_names(f"to build an index of kind {kind!r}", index_class, "build", options)
    return index_class.build(vectors, **options)


def search_index(
    index: ItemIndex, queries: np.ndarray, n: int, exclude: sp.csr_array, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Search an index, or raise TypeError for an unknown option.

    All kinds have the option ``n_threads``.
    """
    options = {**index.info.get(SEARCH, {}), **options}
    purpose = f"to search an index of kind {index.kind!r}"
    _check_names(purpose, type(index), "nearest", options)
    return index.nearest(queries, n, exclude, **options)


def describe_index(index: ItemIndex, vectors: np.ndarray) -> dict[str, Any]:
    """Return JSON values from which `load_index` knows the kind and whose index it is."""
    return {**index.info, "kind": index.kind, "fingerprint": _fingerprint(vectors)}


def load_index(path: Path, vectors: np.ndarray, description: dict[str, Any]) -> ItemIndex:
    """Open a saved index of a known kind.

    Raises
    ------
    ModelError
        If it is damaged, or is the index of other vectors.
    ImportError
        If the package that this kind needs is not installed.
    """
    if description.get("fingerprint") != _fingerprint(vectors):
        raise ModelError(f"{path} is not the index of these item vectors, build it again")
    info = {k: v for k, v in description.items() if k not in ("kind", "fingerprint")}
    if not isinstance(info.get(SEARCH, {}), dict):
        raise ModelError(f"{path} is described wrongly in the model's manifest: {info!r}")
    index = KINDS[description["kind"]].load(path, vectors, info)
    try:  # the search options of the manifest
        search_index(index, vectors[:1], 1, sp.csr_array((1, len(vectors))), {})
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} is described wrongly in the model's manifest: {error}") from error
    return index


def _check_names(purpose: str, owner: type, function: str, options: dict[str, Any]) -> None:
    known = _option_names(owner, function)
    for name in options:
        if name not in known:
            raise TypeError(f"there is no option {name!r} {purpose}; there are {list(known)}")


@cache  # a search for one user is shorter than a look at a signature
def _option_names(owner: type, function: str) -> tuple[str, ...]:
    parameters = inspect.signature(getattr(owner, function)).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _fingerprint(vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr(vectors.shape).encode("ascii"))
    digest.update(vectors.data)
    return digest.hexdigest()
