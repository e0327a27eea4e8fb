"""Approximate nearest items with an Annoy index (the extra ``cml-fast[annoy]``)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import ModelError
from .exact import pair_distances, rank

_INT32_MAX = 2**31 - 1


class AnnoyItems:
    """An Annoy forest over the item vectors of one model.

    Annoy only proposes items. Their distances are computed here from the vectors, as in exact
    search, so that both return the same numbers for the same item.
    """

    def __init__(self, index: Any, vectors: np.ndarray, info: dict[str, Any]) -> None:
        self._index = index
        self._vectors = vectors
        self.info = info

    @classmethod
    def build(cls, vectors: np.ndarray, n_trees: int, seed: int) -> AnnoyItems:
        """Build a forest; the same vectors and seed give the same forest."""
        index = _annoy_index(vectors.shape[1])
        index.set_seed(seed)
        for row, vector in enumerate(vectors):
            index.add_item(row, vector.tolist())
        # With several threads the forest would depend on their number and timing.
        index.build(n_trees, n_jobs=1)
        info = {
            "kind": "annoy",
            "n_trees": n_trees,
            "seed": seed,
            "fingerprint": _fingerprint(vectors),
        }
        return cls(index, vectors, info)

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: Any) -> AnnoyItems:
        """Open a saved forest, or raise ModelError if it does not belong to ``vectors``.

        The file is mapped into memory, not read: it has to stay unchanged while in use.
        """
        if (
            not isinstance(info, dict)
            or info.get("kind") != "annoy"
            or not isinstance(info.get("n_trees"), int)
            or info["n_trees"] < 1
        ):
            raise ModelError(f"{path} is described wrongly in the model's manifest: {info!r}")
        if info.get("fingerprint") != _fingerprint(vectors):
            raise ModelError(f"{path} is not the index of these item vectors, build it again")
        index = _annoy_index(vectors.shape[1])
        try:
            index.load(str(path))
        except OSError as error:
            raise ModelError(f"{path} is not an Annoy index: {error}") from error
        # Not the trees: Annoy miscounts them in the file when all items fit into one leaf.
        if index.get_n_items() != len(vectors):
            raise ModelError(
                f"{path} has {index.get_n_items()} items instead of {len(vectors)}, build it again"
            )
        return cls(index, vectors, info)

    def save(self, path: Path) -> None:
        """Write the forest to a file."""
        self._index.save(str(path))

    def nearest(
        self, queries: np.ndarray, n: int, exclude: sp.csr_array, search_k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in exact search.

        As many items more are fetched as a query excludes, so that n remain. With ``search_k``
        -1 Annoy looks at ``n_trees`` times as many, in which each item occurs at most once per
        tree: that suffices to find n wherever there are n. A smaller ``search_k`` may find fewer.
        """
        if len(queries) == 0:
            return np.empty((0, n), dtype=np.int64), np.empty((0, n), dtype=np.float32)
        n_items = len(self._vectors)
        columns = []
        for row, query in enumerate(queries.tolist()):
            excluded = exclude.indices[exclude.indptr[row] : exclude.indptr[row + 1]]
            fetched = min(n + len(excluded), n_items)
            width = min(self.info["n_trees"] * fetched, _INT32_MAX) if search_k < 0 else search_k
            found = self._index.get_nns_by_vector(query, fetched, width)
            columns.append(np.setdiff1d(np.array(found, dtype=np.int64), excluded))
        rows = np.repeat(np.arange(len(columns)), [len(found) for found in columns])
        numbers = np.concatenate(columns)
        distances = pair_distances(queries, self._vectors, rows, numbers)
        return rank(rows, numbers, distances, len(queries), n)


def _annoy_index(r: int) -> Any:
    try:
        from annoy import AnnoyIndex
    except ImportError as error:
        raise ImportError(
            "approximate search needs the package annoy: pip install cml-fast[annoy]"
        ) from error
    return AnnoyIndex(r, "euclidean")


def _fingerprint(vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr(vectors.shape).encode("ascii"))
    digest.update(vectors.data)
    return digest.hexdigest()
