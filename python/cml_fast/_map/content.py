"""What the page of a map is given: the header and arrays of `payload`.

``docs/design/map.md`` lists them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import payload, users
from .clusters import clusters
from .columns import shortened
from .known import Known, Learned
from .labels import anchor, cluster_names, tag_anchors
from .projection import Placed
from .space import Space

# The nearest items and users that a page shows, with their distances.
N_NEAREST, N_USERS_AROUND = 10, 5
# Likes of a user that a page shows at most.
_LIKES_SHOWN = 100
# Around the points, so that those at the edge can be seen: a share of half the side.
_MARGIN = 0.04


class Content:
    """The header and arrays of a page, which grow part by part."""

    def __init__(self, title: str, known: Known) -> None:
        self.header: dict[str, Any] = {
            "title": title,
            "names": known.names,
            "colour": known.colour,
            "pictures": {str(row): address for row, address in known.pictures.items()},
        }
        self.arrays: dict[str, np.ndarray] = {}

    def add_items(self, learned: Learned, known: Known) -> None:
        """Add the ids of the items, and what is known of them."""
        ids = [str(id) for id in learned.items.array.tolist()]
        # A page shows ids beside names only where they differ.
        self.header["ids"] = None if ids == known.names else [shortened(id) for id in ids]
        if known.item_counts is not None:
            self.arrays["likes"] = known.item_counts.astype(np.uint32)
        if known.dates is not None:
            self.arrays["dates"] = known.dates
            self.header["dates are days"] = known.dates_are_days
        if known.tags is not None:
            self.header["tags"] = known.tags.names
            self.arrays["tag starts"] = known.tags.starts
            self.arrays["tag of items"] = known.tags.indices

    def add_places(self, points: np.ndarray, space: Space, known: Known, seed: int) -> None:
        """Add where the items are, the nearest of each, clusters, and where names stand."""
        self.arrays["points"] = _coordinates(points)
        rows, distances = space.neighbours(N_NEAREST)
        self.header["nearest"] = rows.shape[1]
        self.arrays["nearest"] = rows.astype(np.uint32)
        self._add_distances("nearest distances", distances)
        groups = clusters(space.vectors, np.random.default_rng(seed))
        self.arrays["clusters"] = groups
        self.header["clusters"] = cluster_names(groups, known.names, known.item_counts, known.tags)
        self.header["cluster anchors"] = [
            anchor(points, np.flatnonzero(groups == cluster))
            for cluster in range(len(self.header["clusters"]))
        ]
        self.header["tag anchors"] = [] if known.tags is None else tag_anchors(points, known.tags)

    def add_users(
        self, chosen: np.ndarray, points: np.ndarray, space: Space, learned: Learned, known: Known
    ) -> None:
        """Add some users, given by row: what is near to them, and which are near to items."""
        self.header["users"] = [shortened(str(id)) for id in learned.users.array[chosen].tolist()]
        self.header["all users"] = len(learned.user_vectors)
        if not chosen.size:
            return
        vectors = np.ascontiguousarray(learned.user_vectors[chosen])
        items = learned.item_vectors
        rows, distances = users.nearest_items(vectors, items, N_NEAREST, space.n_threads)
        self.arrays["user points"] = _coordinates(users.place(points, rows))
        self.header["nearest to users"] = rows.shape[1]
        self.arrays["nearest to users"] = rows.astype(np.uint32)
        self._add_distances("nearest to users distances", distances)
        rows, distances = users.nearest_items(items, vectors, N_USERS_AROUND, space.n_threads)
        self.header["users around"] = rows.shape[1]
        self.arrays["users around"] = rows.astype(np.uint16)
        self._add_distances("users around distances", distances)
        if known.user_counts is not None:
            self.arrays["user likes"] = known.user_counts[chosen].astype(np.uint32)
        if known.likes is not None:
            liked = [
                known.likes.indices[known.likes.indptr[user] : known.likes.indptr[user + 1]]
                for user in chosen.tolist()
            ]
            shown = [some[:_LIKES_SHOWN] for some in liked]
            starts = np.cumsum([0, *map(len, shown)])
            self.arrays["liked starts"] = starts.astype(np.uint32)
            self.arrays["liked"] = np.concatenate(shown).astype(np.uint32)

    def add_raw(self, points: np.ndarray, rows: np.ndarray) -> None:
        """Add the map of the raw features, of the items of these rows."""
        self.arrays["raw points"] = _coordinates(points)
        self.arrays["raw rows"] = rows.astype(np.uint32)

    def add_method(self, name: str, title: str, placed: Placed, why: str) -> None:
        """Add how the items of a map were placed: "learned" or "raw"."""
        methods = self.header.setdefault("methods", {})
        methods[name] = {"title": title, "settings": placed.settings, "why": why}

    def _add_distances(self, name: str, distances: np.ndarray) -> None:
        largest = float(distances.max(initial=0))
        self.header[f"largest of {name}"] = largest
        self.arrays[name] = payload.quantised(distances, largest)


def in_square(points: np.ndarray) -> np.ndarray:
    """Return points moved and scaled, alike in both directions, into [-1, 1] with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) / 2, np.finfo(np.float32).tiny)
    return np.asarray((points - (low + high) / 2) / half * (1 - _MARGIN), dtype=np.float64)


def _coordinates(points: np.ndarray) -> np.ndarray:
    return payload.quantised((points + 1) / 2, 1)
