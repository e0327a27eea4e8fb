"""Counting what becomes of every line: a pair, or one of the reasons why it is none."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import DataError

ON_BAD_LINES = ("error", "skip")


@dataclass(frozen=True)
class ReadReport:
    """What became of every line of a file, or row of a table.

    A line is one of the things below: ``lines`` is the sum of all other counts but ``pairs`` and
    ``merged``, and ``kept`` rows gave ``pairs + merged + unknown`` pairs. That is a pair a row,
    except where one row holds several.

    Attributes
    ----------
    lines : int
        Lines of text or rows of a table; in lists of items, the items.
    header, empty, continued : int
        Lines with the names of columns, lines with nothing in them, and lines that continue a
        quoted field of the line before.
    bad : int
        Lines that were skipped because of ``on_bad_lines="skip"``.
    filtered, below_min_rating, zero_weight, without_tag : int
        Rows that ``where`` left out, that have a lower rating than ``min_rating``, a weight of
        zero, or, in features, no tag.
    kept : int
        Rows that gave pairs.
    unknown, merged, pairs : int
        Pairs left out because of ``unknown="drop"``, pairs that were there already, and the pairs
        that are left.
    first_bad : str or None
        The place of the first bad line, and what is wrong with it.

    Examples
    --------
    >>> from cml_fast.data import load_interactions
    >>> lines = b"user,item,rating\\nann,tea,5\\nbob,tea,1\\n\\nbob,milk,4\\n"
    >>> print(load_interactions(lines, format="csv", min_rating=4).report)
    5 lines: 1 header, 1 empty, 1 below min rating, 2 kept; 2 pairs
    """

    lines: int = 0
    header: int = 0
    empty: int = 0
    continued: int = 0
    bad: int = 0
    filtered: int = 0
    below_min_rating: int = 0
    zero_weight: int = 0
    without_tag: int = 0
    kept: int = 0
    unknown: int = 0
    merged: int = 0
    pairs: int = 0
    first_bad: str | None = None

    def __str__(self) -> str:
        def named(names: tuple[str, ...]) -> str:
            counts = ((name.replace("_", " "), getattr(self, name)) for name in names)
            return ", ".join(f"{count:,} {name}" for name, count in counts if count)

        text = f"{self.lines:,} lines: {named(_OF_LINES)}; {named(_OF_PAIRS)}"
        return f"{text}; the first bad one: {self.first_bad}" if self.first_bad else text


_OF_PAIRS = ("unknown", "merged", "pairs")
_OF_LINES = tuple(
    field.name
    for field in fields(ReadReport)
    if field.name not in ("lines", "first_bad", *_OF_PAIRS)
)


class Tally:
    """The counts of a `ReadReport` while a file is read, and what to do with bad lines."""

    def __init__(self, on_bad_lines: str = "error") -> None:
        self._skips = on_bad_lines == "skip"
        self.lines = self.header = self.empty = self.bad = 0
        self.filtered = self.below_min_rating = self.zero_weight = self.without_tag = 0
        self.kept = self.unknown = self.merged = self.pairs = 0
        self.continued = 0
        self.first_continued: str | None = None
        self.first_bad: str | None = None

    def bad_line(self, place: str, what: str, count: int = 1) -> None:
        """Count bad lines, of which the first is at this place, or raise a DataError."""
        if not self._skips:
            hint = "" if "pass " in what else "; pass on_bad_lines='skip' to leave such lines out"
            raise DataError(f"{place} {what}{hint}")
        self.bad += count
        self.first_bad = self.first_bad or f"{place} {what}"

    def continue_record(self, place: str, lines: int) -> None:
        """Count the lines that continue a record, which begins at this place."""
        if lines:
            self.continued += lines
            self.first_continued = self.first_continued or place

    def report(self) -> ReadReport:
        counts = {name: int(getattr(self, name)) for name in ("lines", *_OF_LINES, *_OF_PAIRS)}
        return ReadReport(**counts, first_bad=self.first_bad)
