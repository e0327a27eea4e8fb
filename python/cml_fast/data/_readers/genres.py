"""The format ``genres``: a table with all tags of an id in one column (movies.csv of MovieLens)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .delimited import COLUMN_OPTIONS, check_delimiter
from .pairs import FEATURES, Format, PairKind, Pairs
from .text import TextTable

# The names of the columns in MovieLens, and what it writes where a film has no genre.
_COLUMNS = {"id": "movieId", "tag": "genres"}
_NO_GENRES = "(no genres listed)"


def _read(
    path: Path,
    kind: PairKind,
    *,
    separator: str = "|",
    delimiter: str = ",",
    header: bool = True,
    **columns: Any,
) -> Pairs:
    from .tables import read_text  # only now, because pyarrow is slow to load

    check_delimiter(delimiter)
    if not (isinstance(separator, str) and separator):
        raise ValueError(f"separator must be text that stands between tags, got {separator!r}")
    if header:
        columns = {**_COLUMNS, **columns}
    text = TextTable(path, delimiter, quoted=True, header=header)
    return _split_cells(read_text(text, kind, may_be_blank=kind.column, **columns), separator)


def _split_cells(pairs: Pairs, separator: str) -> Pairs:
    """Return pairs of an id and several tags as pairs of an id and a tag."""
    cells = [
        []
        if cell == _NO_GENRES
        else [tag for part in cell.split(separator) if (tag := part.strip())]
        for cell in pairs.column_ids.astype(str).tolist()
    ]
    tags = np.array([tag for cell in cells for tag in cell], dtype=str)
    names, codes = np.unique(tags, return_inverse=True)
    starts = np.cumsum([0, *map(len, cells)])
    # A matrix of cells x tags; taking a row of it for each pair splits them all.
    split = sp.csr_array((np.ones(codes.size), codes, starts), shape=(len(cells), names.size))
    split = split[pairs.columns]
    counts = np.diff(split.indptr)
    weights = None if pairs.weights is None else np.repeat(pairs.weights, counts)
    return Pairs(np.repeat(pairs.rows, counts), pairs.row_ids, split.indices, names, weights)


def _has_column_genres(line: bytes) -> bool:
    return re.search(rb"\bgenres\b", line) is not None


GENRES = Format(
    "genres",
    _read,
    options=(*COLUMN_OPTIONS, "delimiter", "header", "separator"),
    extensions=(".csv",),
    sniff=_has_column_genres,
    kinds=(FEATURES,),
)
