"""The format ``movielens``: the ratings of MovieLens, in the forms of all its generations.

u.data         user<tab>item<tab>rating<tab>timestamp, no header (100k)
ratings.dat    user::item::rating::timestamp, no header (1m, 10m)
ratings.csv    userId,movieId,rating,timestamp (20m and later, latest)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .delimited import TABLE_OPTIONS, TEXT_OPTIONS, read_delimited
from .files import Source
from .pairs import INTERACTIONS, Format

if TYPE_CHECKING:
    from .builder import PairBuilder

_BY_POSITION = {"user": 0, "item": 1, "rating": 2, "timestamp": 3, "header": False}
_BY_NAME = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "timestamp"}
_FORMS: tuple[tuple[re.Pattern[bytes], dict[str, Any]], ...] = (
    (re.compile(rb"[^:,\t]+(::[^:]+)+$"), {"delimiter": "::", "quoting": "none", **_BY_POSITION}),
    (re.compile(rb"(\d+\t){3}\d+$"), {"delimiter": "\t", "quoting": "none", **_BY_POSITION}),
    (re.compile(rb"userId,movieId,rating,timestamp$"), {"delimiter": ",", **_BY_NAME}),
)


def _form(line: bytes) -> dict[str, Any] | None:
    """Return how a file is to be read that begins with this line; None: it is none of these."""
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    return next((options for pattern, options in _FORMS if pattern.match(line)), None)


def _read(source: Source, builder: PairBuilder, **options: Any) -> None:
    form = _form(source.first_line())
    if form is None:
        raise DataError(
            f"{source.name} begins like none of MovieLens' files of ratings, which have 4 columns "
            "separated by '::', tabs or commas; if it is another table, pass format='csv'"
        )
    if isinstance(form["user"], int):
        n_fields = source.first_line().count(form["delimiter"].encode()) + 1
        form = {role: at for role, at in form.items() if not _is_beyond(role, at, n_fields)}
    read_delimited(source, builder, **{**form, **options})


def _is_beyond(role: str, position: Any, n_fields: int) -> bool:
    return role in ("rating", "timestamp") and position >= n_fields


MOVIELENS = Format(
    "movielens",
    _read,
    options=(*TABLE_OPTIONS, *TEXT_OPTIONS),
    extensions=(".dat", ".data", ".csv"),
    sniff=lambda line: _form(line) is not None,
    kinds=(INTERACTIONS,),
)
