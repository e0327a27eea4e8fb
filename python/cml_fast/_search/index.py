"""Approximate search: what every index of items offers, and the kinds of index that there are.

A new kind is one file with a class that has the members of `ItemIndex`, and one line in `KINDS`.
Nothing else in the package names a kind.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import scipy.sparse as sp

from .._validation.scalars import check_choice
from ..errors import ModelError
from .annoy import AnnoyIndex


class ItemIndex(Protocol):
    """An index of the item vectors of one model.

    Options, of the building as of the search, are keyword-only parameters with defaults; `build`
    and `nearest` check their values. A class that needs a package of its own imports it inside of
    `build` and `load`, and its ImportError says what to install.

    Attributes
    ----------
    kind : str
        The name in `KINDS`: lower-case letters. It is also the suffix of the saved file.
    info : dict
        The JSON values that `load` needs besides the file and the vectors.
    """

    kind: ClassVar[str]
    info: dict[str, Any]

    @classmethod
    def build(cls, vectors: np.ndarray, *args: Any, **options: Any) -> ItemIndex:
        """Index the vectors, (n_items, r) float32 and read-only; they may be kept, not copied."""

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> ItemIndex:
        """Open what `save` wrote for the same vectors, or raise ModelError."""

    def save(self, path: Path) -> None:
        """Write the index to one file."""

    def nearest(
        self, queries: np.ndarray, n: int, exclude: sp.csr_array, *args: Any, **options: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in `exact.nearest`.

        `exact.rank_proposals` turns proposed items into results.
        """


KINDS: dict[str, type[ItemIndex]] = {
    AnnoyIndex.kind: AnnoyIndex,
}


def build_index(kind: str, vectors: np.ndarray, options: dict[str, Any]) -> ItemIndex:
    """Build an index, or raise ValueError for an unknown kind, TypeError for an unknown option."""
    index_class = KINDS[check_choice("kind", kind, tuple(KINDS))]
    _check_names(f"to build an index of kind {kind!r}", index_class.build, options)
    return index_class.build(vectors, **options)


def search_index(
    index: ItemIndex, queries: np.ndarray, n: int, exclude: sp.csr_array, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Search an index, or raise TypeError for an unknown option."""
    _check_names(f"to search an index of kind {index.kind!r}", index.nearest, options)
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
    return KINDS[description["kind"]].load(path, vectors, info)


def _check_names(purpose: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise TypeError(f"there is no option {name!r} {purpose}; there are {known}")


def _fingerprint(vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr(vectors.shape).encode("ascii"))
    digest.update(vectors.data)
    return digest.hexdigest()
