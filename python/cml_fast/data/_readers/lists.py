"""Lists of whole numbers, one a line: what the formats ``adjacency`` and ``citeulike`` share."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..._memory import check_room, check_room_for_lines
from ...errors import DataError
from .files import Source

if TYPE_CHECKING:
    from .builder import PairBuilder

_CHUNK_BYTES = 1 << 24
_LONGEST_LINE = 1 << 28
# Lines up to here take so little that nobody looks whether there is room for their words.
_SHORT_LINE = 1 << 12
# What Python takes for a line as bytes, besides these.
_BYTES_FOR_LINES = 64
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def integer_lines(source: Source) -> Iterator[tuple[int, array[int]]]:
    """Yield the number, from 1, and the ids of every line; an empty line has none."""
    for number, line in enumerate(_lines(source), 1):
        if len(line) > _SHORT_LINE:
            check_room_for_lines(source.name, 1, len(line))
        words = line.removeprefix(_BYTE_ORDER_MARK).split()
        if words and not b"".join(words).isdigit():
            word = next(word for word in words if not word.isdigit())
            raise DataError(
                f"{source.name}: line {number}: {word[:100].decode(errors='backslashreplace')!r} "
                "is not an id; ids here are whole numbers, separated by spaces"
            )
        try:
            yield number, array("q", map(int, words))
        except (OverflowError, ValueError) as error:
            raise DataError(f"{source.name}: line {number}: an id has over 64 bits") from error


def _lines(source: Source) -> Iterator[bytes]:
    rest = b""
    for chunk in source.chunks(_CHUNK_BYTES):
        data = rest + chunk
        check_room(source.name, data.count(b"\n") * _BYTES_FOR_LINES + len(data))
        *lines, rest = data.split(b"\n")
        yield from lines
        if len(rest) > _LONGEST_LINE:
            raise DataError(
                f"{source.name} has a line of over {_LONGEST_LINE >> 20} MiB; is it a list?"
            )
    if rest:
        yield rest


def add_lists(
    source: Source,
    builder: PairBuilder,
    owners: np.ndarray,
    degrees: np.ndarray,
    members: np.ndarray,
    role: str,
) -> None:
    """Add the pair of each list's owner and member; owners without members are there as well.

    ``role`` says whether the owner is the first or the second id of a pair.
    """
    import pyarrow as pa

    kind = builder.kind
    other = kind.column if role == kind.row else kind.row
    builder.register(role, pa.array(owners.astype(np.int64)))
    builder.tally.lines += len(members)
    if len(members):
        pairs = {
            role: pa.array(np.repeat(owners, degrees).astype(np.int64)),
            other: pa.array(members.astype(np.int64)),
        }
        line = np.repeat(np.arange(len(owners)), degrees)
        builder.add(source.name, pairs, lambda row: f"list {line[row] + 1}")
