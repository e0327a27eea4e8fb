"""Where the names of tags and clusters stand on a map."""

from __future__ import annotations

import numpy as np

from .tags import Tags

# The densest cell of a grid of so many cells a side is where most items of a group are.
_CELLS = 24
# A page names so many tags at most; fewer where they would cover each other.
_TAGS = 40
# A tag of fewer items than these is not named.
_LEAST = 5
# A tag in so large a share of the items is everywhere, and a name in one place would mislead.
_LARGEST_SHARE = 0.5


def anchor(points: np.ndarray, members: np.ndarray) -> int:
    """Return the member that stands in the midst of most members, a row number.

    Parameters
    ----------
    points : numpy.ndarray, (n, 2), in [-1, 1]
    members : numpy.ndarray, (m,), int, m >= 1
    """
    mine = points[members]
    cells = np.minimum(((mine + 1) / 2 * _CELLS).astype(np.int64), _CELLS - 1)
    keys = cells[:, 0] * _CELLS + cells[:, 1]
    inside = keys == np.bincount(keys).argmax()
    centre = np.median(mine[inside], axis=0)
    return int(members[np.square(mine - centre).sum(axis=1).argmin()])


def tag_anchors(points: np.ndarray, tags: Tags) -> list[tuple[int, int]]:
    """Return pairs of a tag and the item at which its name stands, the most frequent first."""
    found: list[tuple[int, int]] = []
    largest = max(_LARGEST_SHARE * len(points), _LEAST)
    for tag in range(len(tags.names)):
        members = tags.items(tag)
        if members.size < _LEAST or len(found) == _TAGS:
            break
        if members.size <= largest:
            found.append((tag, anchor(points, members)))
    return found


def cluster_names(
    clusters: np.ndarray, names: list[str], counts: np.ndarray | None, tags: Tags | None
) -> list[str]:
    """Return a name for each cluster: its most telling tag, or its most popular item."""
    found: list[str] = []
    for cluster in range(int(clusters.max()) + 1):
        members = np.flatnonzero(clusters == cluster)
        telling = None if tags is None else _most_telling(members, tags, found)
        if telling is None:
            best = members[0] if counts is None else members[counts[members].argmax()]
            telling = f"around {names[best]}"
        found.append(telling)
    return found


def _most_telling(members: np.ndarray, tags: Tags, taken: list[str]) -> str | None:
    """Return the tag that is more frequent here than elsewhere by the most items."""
    n_items = len(tags.starts) - 1
    starts, stops = tags.starts[members], tags.starts[members + 1]
    here = np.zeros(len(tags.names), dtype=np.int64)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        here[tags.indices[start:stop]] += 1
    everywhere = np.bincount(tags.indices, minlength=len(tags.names))
    excess = here - everywhere * (len(members) / n_items)
    for tag in np.argsort(-excess, kind="stable").tolist():
        if excess[tag] <= 0:
            return None
        if tags.names[tag] not in taken:
            return str(tags.names[tag])
    return None
