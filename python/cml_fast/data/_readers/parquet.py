"""The format ``parquet``: a Parquet table with one pair of ids a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .delimited import TABLE_OPTIONS
from .files import Source
from .pairs import Format

if TYPE_CHECKING:
    from .builder import PairBuilder


def _read(source: Source, builder: PairBuilder, **columns: Any) -> None:
    from .tables import read_parquet  # only now, because pyarrow is slow to load

    read_parquet(source, columns, builder)


PARQUET = Format("parquet", _read, TABLE_OPTIONS, (".parquet", ".pq"))
