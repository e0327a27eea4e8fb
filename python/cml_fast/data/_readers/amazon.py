"""The format ``amazon``: the ratings of Amazon's products, of all generations.

Files of 2014 have ``user,item,rating,timestamp``, those of 2018 ``item,user,rating,timestamp``,
both without a header; those of 2023 have one. What is an item and what a user is told by the ids.
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

_HEADER = re.compile(rb"user_id,parent_asin,rating,timestamp(,.*)?")
# An ASIN has 10 characters; that of a book is its ISBN.
_ITEM = re.compile(rb"B[0-9A-Z]{9}|\d{9}[\dX]")
_USER = re.compile(rb"A[0-9A-Z]{10,}")
_RATED = re.compile(rb"[^,]+,[^,]+,[0-5](\.\d)?,\d{9,13}")
_BY_NAME = {
    "header": True,
    "user": "user_id",
    "item": "parent_asin",
    "rating": "rating",
    "timestamp": "timestamp",
}


def _order(lines: list[bytes]) -> tuple[str, str] | None:
    """Return which of the first two columns is what; None if that cannot be told."""
    pairs = [line.split(b",")[:2] for line in lines if line.count(b",")]
    for order, (users, items) in {("user", "item"): (0, 1), ("item", "user"): (1, 0)}.items():
        if pairs and all(
            _ITEM.fullmatch(pair[items]) and not _ITEM.fullmatch(pair[users]) for pair in pairs
        ):
            return order
    return None


def _is_certain(line: bytes) -> bool:
    """Whether a first line is of such a file, and of no other table of ratings."""
    line = line.removeprefix(b"\xef\xbb\xbf").strip()
    if _HEADER.fullmatch(line):
        return True
    order = _order([line])
    if order is None or not _RATED.fullmatch(line):
        return False
    return _USER.fullmatch(line.split(b",")[order.index("user")]) is not None


def _read(source: Source, builder: PairBuilder, **options: Any) -> None:
    first = source.first_line().removeprefix(b"\xef\xbb\xbf").strip()
    if _HEADER.fullmatch(first):
        read_delimited(source, builder, **{**_BY_NAME, **options})
        return
    order = _order(source.head.removeprefix(b"\xef\xbb\xbf").splitlines()[:-1] or [first])
    if order is None and not {"user", "item"} <= set(options):
        raise DataError(
            f"{source.name}: it cannot be told which of the first two columns is the item: "
            f"{first[:100].decode(errors='replace')!r}; in 2014 it was the second one (pass user=0 "
            "and item=1), in 2018 the first one (user=1 and item=0)"
        )
    known: dict[str, Any] = {"header": False, "rating": "rating", "timestamp": "timestamp"}
    known["names"] = (*(order or ("0", "1")), "rating", "timestamp")
    if order is not None:
        known |= {"user": "user", "item": "item"}
    read_delimited(source, builder, **{**known, **options})


AMAZON = Format(
    "amazon",
    _read,
    (*TABLE_OPTIONS, *TEXT_OPTIONS),
    (".csv",),
    _is_certain,
    (INTERACTIONS,),
)
