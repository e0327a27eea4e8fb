"""Approximate nearest items with a forest of the package Annoy (``cml-fast[annoy]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .._memory import check_room
from .._validation.scalars import check_int
from ..errors import ModelError
from .proposals import INT32_MAX, check_threads, nearest_of_proposed, rising

# The search_k that stands for n_trees times the number of items fetched, as in Annoy itself.
AUTOMATIC = -1
# The file of a forest: 32-bit words of a node besides its vector, and where its children are.
FIXED_NODE_WORDS, LEAF_START = 4, 2
# A wish for recall is searched between these numbers of nodes for each tree,
LEAST_NODES, MOST_NODES = 4, 100
# or up to so many for each item; with more, exact search is faster.
MOST_LOOKS = 4

# For the memory of a forest: nodes of a tree for as many items as a leaf holds, and how much more
# than it needs is asked for when it grows.
NODES_FOR_LEAF, GROWTH = 4, 1.5


class AnnoyIndex:
    """A forest of random splits (https://github.com/spotify/annoy); see `index.ItemIndex`.

    Annoy only proposes items. Their distances are computed from the vectors, as in exact search,
    so that both searches return the same distance for the same item.
    """

    kind: ClassVar[str] = "annoy"

    def __init__(self, forest: Any, vectors: np.ndarray, info: dict[str, Any]) -> None:
        self._forest = forest
        self._vectors = vectors
        self.info = info

    @classmethod
    def build(cls, vectors: np.ndarray, *, n_trees: int = 50, seed: int = 0) -> AnnoyIndex:
        """Build a forest; the same vectors, ``n_trees`` and ``seed`` give the same forest."""
        n_trees = check_int("n_trees", n_trees, 1, INT32_MAX)
        seed = check_int("seed", seed, 0, INT32_MAX)
        forest = _empty_forest(vectors.shape[1])
        check_room(f"a forest of {n_trees:,} trees of Annoy", _most_bytes(vectors, n_trees))
        forest.set_seed(seed)
        for row, vector in enumerate(vectors):
            forest.add_item(row, vector.tolist())
        # With several threads the forest would depend on their number and timing.
        forest.build(n_trees, n_jobs=1)
        return cls(forest, vectors, {"n_trees": n_trees, "seed": seed})

    @classmethod
    def load(cls, path: Path, vectors: np.ndarray, info: dict[str, Any]) -> AnnoyIndex:
        """Open a saved forest, or raise ModelError if it cannot be one of ``vectors``.

        The file is mapped into memory, not read: it must not change while the index is in use.
        """
        n_trees = info.get("n_trees")
        if not isinstance(n_trees, int) or not 1 <= n_trees <= INT32_MAX:
            raise ModelError(f"{path} is described wrongly in the model's manifest: {info!r}")
        forest = _empty_forest(vectors.shape[1])
        _check_nodes(path, vectors)
        try:
            forest.load(str(path))
        except OSError as error:
            raise ModelError(f"{path} is not an Annoy index: {error}") from error
        return cls(forest, vectors, info)

    def save(self, path: Path) -> None:
        """Write the forest to a file."""
        self._forest.save(str(path))

    def add(self, vectors: np.ndarray) -> None:
        """Return None: a forest that is built cannot grow."""

    def efforts(self) -> list[dict[str, Any]]:
        """Return search options, the more exact and slower the later."""
        n_trees = self.info["n_trees"]
        most = max(n_trees * MOST_NODES, MOST_LOOKS * len(self._vectors))
        values = rising(n_trees * LEAST_NODES, min(most, INT32_MAX))
        return [{"search_k": value} for value in values]

    def nearest(
        self,
        queries: np.ndarray,
        n: int,
        exclude: sp.csr_array,
        *,
        search_k: int = AUTOMATIC,
        n_threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the ``n`` nearest items; arguments and results as in `exact.nearest`.

        For each query, n items and as many more as the query excludes are fetched. ``search_k`` is
        the number of nodes to look at, by default ``n_trees`` times the number of items fetched.
        """
        if search_k != AUTOMATIC:
            search_k = check_int("search_k", search_k, 1, INT32_MAX)
        check_threads(n_threads)  # the search itself takes one

        def propose(queries: np.ndarray, k: int) -> np.ndarray:
            nodes = min(self.info["n_trees"] * k, INT32_MAX) if search_k == AUTOMATIC else search_k
            found = np.full((len(queries), k), -1)
            for row, query in zip(found, queries.tolist(), strict=True):
                proposed = self._forest.get_nns_by_vector(query, k, nodes)
                row[: len(proposed)] = proposed
            return found

        return nearest_of_proposed(propose, queries, self._vectors, n, exclude)


def _check_nodes(path: Path, vectors: np.ndarray) -> None:
    """Raise ModelError unless a saved file is a forest of these vectors.

    Annoy follows the numbers in its file wherever they lead. The file is an array of nodes of the
    same size: int32 number of descendants, float32 offset, then, in a split, two int32 children and
    the float32 normal of a plane, or, in a leaf, int32 items in the place of both. The first
    nodes are the items themselves, the last ones are roots, and children come before parents.
    A split has as many descendants as its two children, so that no search meets more than that.
    """
    n_items, r = vectors.shape
    width = FIXED_NODE_WORDS + r
    if path.stat().st_size == 0 or path.stat().st_size % (4 * width):
        raise ModelError(f"{path} is not an Annoy index of {r} dimensions, build it again")
    nodes = np.memmap(path, dtype=np.int32, mode="r").reshape(-1, width)
    counts = nodes[:, 0]
    if counts[-1] != n_items:
        raise ModelError(f"{path} has {counts[-1]} items instead of {n_items}, build it again")
    most_in_leaf = width - LEAF_START
    numbers = np.arange(n_items, len(nodes))
    inner = counts[n_items:]
    leaf = inner <= most_in_leaf
    splits = nodes[numbers[~leaf], LEAF_START : LEAF_START + 2]
    leaves = nodes[numbers[leaf], LEAF_START:]
    listed = leaves[np.arange(most_in_leaf) < inner[leaf, None]]
    sound = (
        (counts[:n_items] == 1).all()
        and (inner >= 1).all()
        and (splits >= 0).all()
        and (splits < numbers[~leaf, None]).all()
        and (listed >= 0).all()
        and (listed < n_items).all()
        and (counts[splits].sum(axis=1, dtype=np.int64) == inner[~leaf]).all()
    )
    if not sound:
        raise ModelError(f"{path} is damaged: it refers to nodes that do not exist, build it again")
    if not np.array_equal(nodes[:n_items, FIXED_NODE_WORDS:].view(np.float32), vectors):
        raise ModelError(f"{path} is the index of other items, build it again")


def _most_bytes(vectors: np.ndarray, n_trees: int) -> int:
    """Return about how much memory a forest takes while it is built, rather more than less."""
    n_items, r = vectors.shape
    width = FIXED_NODE_WORDS + r
    n_nodes = n_items + n_trees * (NODES_FOR_LEAF * n_items // (width - LEAF_START) + 1)
    return int(GROWTH * 4 * width * n_nodes)


def _empty_forest(r: int) -> Any:
    try:
        from annoy import AnnoyIndex as Forest
    except ImportError as error:
        raise ImportError(
            "approximate search needs the package annoy: pip install cml-fast[annoy]"
        ) from error
    return Forest(r, "euclidean")
