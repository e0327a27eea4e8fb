"""The format ``parquet``: a Parquet table with one pair of ids a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .delimited import COLUMN_OPTIONS
from .pairs import Format, PairKind, Pairs


def _read(path: Path, kind: PairKind, **columns: Any) -> Pairs:
    from .tables import read_parquet  # only now, because pyarrow is slow to load

    return read_parquet(path, kind, **columns)


PARQUET = Format("parquet", _read, COLUMN_OPTIONS, (".parquet",))
