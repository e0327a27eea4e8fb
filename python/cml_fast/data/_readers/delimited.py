"""The formats ``csv`` and ``tsv``: text tables with one pair of ids a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .pairs import Format, PairKind, Pairs
from .text import TextTable

COLUMN_OPTIONS = ("user", "item", "rating", "min_rating", "id", "tag", "weight")


def _read_csv(
    path: Path, kind: PairKind, *, delimiter: str = ",", header: bool = True, **columns: Any
) -> Pairs:
    from .tables import read_text  # only now, because pyarrow is slow to load

    check_delimiter(delimiter)
    return read_text(TextTable(path, delimiter, quoted=True, header=header), kind, **columns)


def _read_tsv(path: Path, kind: PairKind, *, header: bool = True, **columns: Any) -> Pairs:
    from .tables import read_text

    return read_text(TextTable(path, "\t", quoted=False, header=header), kind, **columns)


def check_delimiter(delimiter: str) -> None:
    """Refuse what pyarrow cannot take for the character between columns."""
    if (
        not isinstance(delimiter, str)
        or len(delimiter) != 1
        or delimiter in '"\r\n'
        or not delimiter.isascii()
    ):
        raise ValueError(f"delimiter must be one ASCII character, got {delimiter!r}")


CSV = Format("csv", _read_csv, (*COLUMN_OPTIONS, "delimiter", "header"), (".csv",))
TSV = Format("tsv", _read_tsv, (*COLUMN_OPTIONS, "header"), (".tsv",))
