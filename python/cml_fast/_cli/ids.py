"""Ids from the command line or from a file, where every id is a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from .._validation.showing import quoted, shown
from ..data._ids import NAMED, IdIndex
from ..errors import DataError


def rows_of(what: str, ids: np.ndarray, texts: list[str], hint: str = "") -> np.ndarray:
    """Return the row number of each id.

    ``what`` is "user" or "item", and ``hint`` is added to the error about unknown ids.
    """
    rows = IdIndex(what, ids).find(np.array(texts, dtype=object))
    unknown = [quoted(text) for text, row in zip(texts, rows, strict=True) if row < 0]
    if unknown:
        more = ", ..." if len(unknown) > NAMED else ""
        raise ValueError(
            f"the model has no {what} {', '.join(unknown[:NAMED])}{more}; its {len(ids):,} {what} "
            f"ids are like {shown(ids[0])}{hint}"
        )
    return rows


def ids_of_file(file: Path) -> list[str]:
    """Return the ids of a file, one a line, or of stdin for ``-``; empty lines are left out."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not a text in UTF-8: {error.reason}") from None
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise DataError(f"{file} has no ids: give one a line")
    return ids


def id_of(ids: np.ndarray, row: Any) -> int | str:
    """Return the id of a row as a JSON value."""
    found: int | str = ids[[row]].tolist()[0]
    return found
