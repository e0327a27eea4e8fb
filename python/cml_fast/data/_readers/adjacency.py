"""The format ``adjacency``: a user and all items of this user on each line, as Gowalla has it."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from .pairs import INTERACTIONS, Format, PairKind, Pairs
from .text import integer_lines


def _read(path: Path, kind: PairKind) -> Pairs:
    """Read lines of ``user item item ...``; a user with several lines has the items of all."""
    users, degrees, items = array("q"), array("q"), array("q")
    for _, numbers in integer_lines(path):
        if numbers:
            users.append(numbers[0])
            degrees.append(len(numbers) - 1)
            items.extend(numbers[1:])
    user_ids, rows = np.unique(users, return_inverse=True)
    item_ids, columns = np.unique(np.array(items, dtype=np.int64), return_inverse=True)
    return Pairs(np.repeat(rows, degrees), user_ids, columns, item_ids)


ADJACENCY = Format("adjacency", _read, kinds=(INTERACTIONS,))
