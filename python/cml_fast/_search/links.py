"""Checks of the links of a stored graph, which the libraries follow wherever they lead."""

from __future__ import annotations

import numpy as np


def are_levels(levels: np.ndarray, entry: int, top: int) -> bool:
    """Whether a graph with the levels of these items, (n,), can be entered at one of them."""
    return bool(levels.min() >= 0 and 0 <= entry < len(levels) and levels[entry] == top) and (
        top == int(levels.max())
    )


def are_links(blocks: np.ndarray, level: int | np.ndarray, levels: np.ndarray) -> bool:
    """Whether blocks of links lead to items that there are, on the level of the block.

    A block, a row of (m, 1 + most) uint32, is the number of its links, and the items they lead to.
    ``level`` is that of all blocks, or one for each, (m,).
    """
    counts, linked = blocks[:, 0], blocks[:, 1:]
    if (counts > linked.shape[1]).any():
        return False
    is_used = np.arange(linked.shape[1]) < counts[:, None]
    items = linked[is_used]
    owners = np.broadcast_to(np.reshape(level, (-1, 1)), linked.shape)[is_used]
    return bool((items < len(levels)).all() and (levels[items] >= owners).all())
