"""The format ``movielens``: lines of ``user::item::rating::timestamp``, as in ratings.dat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .delimited import COLUMN_OPTIONS
from .pairs import INTERACTIONS, Format, PairKind, Pairs
from .text import TextTable

_DELIMITER = "::"
_RATING_COLUMN = 2


def _read(path: Path, kind: PairKind, **columns: Any) -> Pairs:
    from .tables import read_text  # only now, because pyarrow is slow to load

    if "min_rating" in columns:
        columns.setdefault("rating", _RATING_COLUMN)
    return read_text(TextTable(path, _DELIMITER, quoted=False, header=False), kind, **columns)


def _has_delimiter(line: bytes) -> bool:
    return _DELIMITER.encode() in line


MOVIELENS = Format(
    "movielens",
    _read,
    options=COLUMN_OPTIONS,
    extensions=(".dat",),
    sniff=_has_delimiter,
    kinds=(INTERACTIONS,),
)
