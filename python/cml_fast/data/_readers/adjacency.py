"""The format ``adjacency``: a user and all items of this user on each line, as Gowalla has it."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from .files import Source
from .lists import add_lists, integer_lines
from .pairs import INTERACTIONS, Format

if TYPE_CHECKING:
    from .builder import PairBuilder


def _read(source: Source, builder: PairBuilder) -> None:
    """Read lines of ``user item item ...``; a user with several lines has the items of all."""
    users, degrees, items = array("q"), array("q"), array("q")
    for _, numbers in integer_lines(source):
        if numbers:
            users.append(numbers[0])
            degrees.append(len(numbers) - 1)
            items.extend(numbers[1:])
        else:
            builder.tally.lines += 1
            builder.tally.empty += 1
    add_lists(source, builder, np.array(users), np.array(degrees), np.array(items), "user")


ADJACENCY = Format("adjacency", _read, kinds=(INTERACTIONS,))
