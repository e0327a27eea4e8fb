"""A map from its arguments: what `Model.map` does."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._export.metadata import UNKNOWN
from .._persistence.one_file import check_folder, check_free, write_file
from .._validation.scalars import check_bool, check_choice, check_int
from . import page, payload, users
from .content import Content, in_square
from .known import Given, Known, Learned, know
from .projection import Placed, Projection
from .projections import choose
from .space import Space

# More users would hide the items. They are numbered by uint16 in a page.
MAX_USERS = 20_000
_MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Drawing:
    """The arguments of `Model.map` that say how the map is made."""

    title: str
    n_users: int
    method: str
    random_state: int
    overwrite: bool
    progress: bool
    n_threads: int | None

    def check(self) -> None:
        """Raise TypeError or ValueError if an argument is out of range."""
        if not isinstance(self.title, str):
            raise TypeError(f"title must be a str, got {self.title!r}")
        check_int("n_users", self.n_users, 0, MAX_USERS)
        check_int("random_state", self.random_state, 0, _MAX_SEED)
        check_bool("overwrite", self.overwrite)
        check_bool("progress", self.progress)


def write_map(
    out: str | os.PathLike[str], learned: Learned, given: Given, drawing: Drawing
) -> dict[str, Any]:
    """Write a map; arguments, result and errors are those of `Model.map`."""
    path = Path(out)
    drawing.check()
    check_choice("unknown", given.unknown, UNKNOWN)
    check_free(path, drawing.overwrite)
    projection, why = choose(drawing.method, len(learned.item_vectors))
    known = know(learned, given, drawing.random_state)
    check_folder(path)
    if drawing.method == "auto" and why:
        warnings.warn(f"the map is drawn by {projection.title}, because {why}", stacklevel=3)
    content, placed = _content(learned, known, drawing, projection, why)
    text = page.build(
        drawing.title, payload.encode(content.header, content.arrays), known.picture_origins
    )
    page_bytes = text.encode("utf-8", "replace")
    write_file(path, page_bytes)
    return {
        "file": str(path),
        "bytes": len(page_bytes),
        "method": projection.name,
        "settings": placed.settings,
        "items": len(learned.item_vectors),
        "users": len(content.header["users"]),
    }


def _content(
    learned: Learned, known: Known, drawing: Drawing, projection: Projection, why: str
) -> tuple[Content, Placed]:
    """Return all that the page is given, and how the items were placed."""
    note = _to_stderr if drawing.progress else _to_nobody
    seed = drawing.random_state
    content = Content(drawing.title, known)
    content.add_items(learned, known)
    note(f"placing {len(learned.item_vectors):,} items by {projection.title}")
    space = Space(learned.item_vectors, drawing.n_threads)
    placed = projection.place(space, seed)
    content.add_method("learned", projection.title, placed, why)
    points = in_square(placed.points)
    note("finding the nearest items and users")
    content.add_places(points, space, known, seed)
    counts = known.user_counts
    chosen = users.sample(drawing.n_users, counts, len(learned.user_vectors), seed)
    content.add_users(chosen, points, space, learned, known)
    if known.features is not None:
        vectors, rows = known.features
        beside, _ = choose(projection.name if len(rows) >= projection.least else "pca", len(rows))
        note(f"placing {len(rows):,} items by {beside.title} of their features")
        raw = beside.place(Space(vectors, drawing.n_threads), seed)
        content.add_method("raw", beside.title, raw, "")
        content.add_raw(in_square(raw.points), rows)
    return content, placed


_Note = Callable[[str], None]


def _to_stderr(line: str) -> None:
    print(f"map: {line}", file=sys.stderr)


def _to_nobody(line: str) -> None:
    pass
