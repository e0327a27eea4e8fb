"""The format ``genres``: a table with all tags of an id in one column (movies.csv of MovieLens)."""

from __future__ import annotations

import re

from .delimited import text_format
from .pairs import FEATURES

NO_GENRES = "(no genres listed)"


def _has_column_genres(line: bytes) -> bool:
    return re.search(rb"\bgenres\b", line) is not None


GENRES = text_format(
    "genres",
    columns={"id": "movieId", "tag": "genres"},
    separator="|",
    missing=(NO_GENRES,),
    extensions=(".csv",),
    sniff=_has_column_genres,
    kinds=(FEATURES,),
)
