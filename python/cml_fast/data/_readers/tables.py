"""Tables with a pair of ids a row: which column is what, and reading text, Parquet and frames.

Only functions that read such a table import this module: pyarrow is slow to load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..._validation.scalars import check_int
from ...errors import DataError
from .builder import PairBuilder
from .files import Source
from .pairs import UNUSED_RATING, PairKind
from .text import Batch, Dialect, TextTable

# Columns by role, such as "user", each by its name or position.
Columns = Mapping[str, str | int]
# Roles that may name one column together.
_MAY_SHARE = {"rating", "weight"}
_WHERE = "where "
# Rows of Parquet that are read together.
_BATCH_ROWS = 1 << 20
# A column of such a name says how much an item was liked, not only that there was an interaction.
_RATING_NAMES = re.compile(r"(user_)?(rating|stars|score)s?", re.IGNORECASE)
_OTHER_DELIMITERS = ",;\t|"
# A message shows so many characters of a line.
_SHOWN = 200


class Names(NamedTuple):
    """The columns of a table: their names, or only how many there are."""

    source: str
    names: list[str]
    has_names: bool

    def positions(self, columns: Columns) -> dict[str, int]:
        """Return the position of each column asked for, by role."""
        found = {role: self._position(role, column) for role, column in columns.items()}
        for one, other in combinations(found, 2):
            may_share = {one, other} == _MAY_SHARE or _WHERE in one + other
            if found[one] == found[other] and not may_share:
                raise ValueError(f"{one} and {other} are the same column: {columns[one]!r}")
        return found

    def _position(self, role: str, column: str | int) -> int:
        listing = ", ".join(self.names) if self.has_names else f"{len(self.names)}, counted from 0"
        if not isinstance(column, str):
            position = check_int(role, column, 0)
            if position >= len(self.names):
                raise DataError(f"{self.source} has no column {column}; the columns are: {listing}")
            return position
        if not self.has_names:
            raise ValueError(
                f"{role}={column!r} is a name, but there is no header; give a position"
            )
        if self.names.count(column) != 1:
            what = "several columns" if column in self.names else "no column"
            argument = "where" if role.startswith(_WHERE) else role
            raise DataError(
                f"{self.source} has {what} {column!r}; the columns are: {listing}. "
                f"Name the right one with {argument}={self._delimiter_hint()}"
            )
        return self.names.index(column)

    def _delimiter_hint(self) -> str:
        """Say what the delimiter may be, where all columns seem to be one."""
        if len(self.names) > 1:
            return ""
        others = [sign for sign in _OTHER_DELIMITERS if sign in self.names[0]]
        return f"; if the columns are separated by {others[0]!r}, pass delimiter=" if others else ""


def filter_roles(
    where: Mapping[str | int, Any] | None,
) -> tuple[Columns, dict[str, tuple[str, ...]]]:
    """Return the columns that ``where`` looks at, by role, and the texts to keep of each role."""
    if where is None:
        return {}, {}
    if not isinstance(where, Mapping) or not where:
        raise TypeError(f"where must be like {{'event': 'purchase'}}, got {where!r}")
    columns, wanted = {}, {}
    for column, values in where.items():
        role = f"{_WHERE}{column}"
        several = values if isinstance(values, list | tuple | set | frozenset) else (values,)
        columns[role] = column
        wanted[role] = tuple(
            str(value).lower() if isinstance(value, bool) else str(value) for value in several
        )
    return columns, wanted


def read_text(
    source: Source,
    dialect: Dialect,
    header: bool | None,
    columns: Columns,
    builder: PairBuilder,
    separator: str | None = None,
) -> None:
    """Add the rows of a text table. ``header=None`` means that it is to be found out.

    With a ``separator`` a row may have several ids of the second kind in one field.
    """
    table = TextTable(source, dialect, builder.tally)
    first = [name.strip() for name in table.first]
    if header is None:
        header = _has_header(source, table.first_place, first, columns, builder.kind)
    elif header and _are_numbers(first) and any(isinstance(c, int) for c in columns.values()):
        raise DataError(
            f"{source.name}: {table.first_place} holds numbers, not the names of columns; if "
            "there is no header, pass header=False, else give the columns by name"
        )
    names = Names(source.name, first + list(source.columns), header)
    positions = names.positions(_complete(names, columns, builder))
    in_file = {role: at for role, at in positions.items() if at < len(first)}
    if header:
        table.skip_header()
    for batch in table.batches(list(in_file.values())):
        arrays = dict(zip(in_file, batch.columns, strict=True))
        arrays |= _constants(source, first, positions, arrays)
        if separator is None:
            builder.add(source.name, arrays, batch.place)
        else:
            builder.add(source.name, *_split_field(arrays, builder.kind.column, separator, batch))


def _split_field(
    arrays: dict[str, pa.Array], role: str, separator: str, batch: Batch
) -> tuple[dict[str, pa.Array], Callable[[int], str], np.ndarray]:
    """Return a row for each part of a field, the place of each, and the row that it comes from.

    A field with nothing in it gives a row with an empty part.
    """
    parts = pc.split_pattern(arrays[role], separator)
    parents = pc.list_parent_indices(parts).to_numpy()
    flat = pc.utf8_trim_whitespace(pc.list_flatten(parts))
    is_blank = pc.equal(flat, "").to_numpy(zero_copy_only=False)
    is_first = np.diff(parents, prepend=-1) > 0
    has_more = np.bincount(parents[~is_blank], minlength=len(batch.columns[0]))[parents] > 0
    used = ~is_blank | (is_first & ~has_more)
    parents = parents[used]
    rows = pa.array(parents)
    split = {name: column.take(rows) for name, column in arrays.items() if name != role}
    split[role] = flat.filter(pa.array(used))
    return split, lambda row: batch.place(int(parents[row])), parents


def _complete(names: Names, columns: Columns, builder: PairBuilder) -> Columns:
    """Return the columns to read: those asked for, the default ones, and perhaps the ratings."""
    roles = (builder.kind.row, builder.kind.column)
    defaults: dict[str, str | int] = {
        role: role if names.has_names else at for at, role in enumerate(roles)
    }
    complete = {**defaults, **columns}
    if {"rating", "weight", UNUSED_RATING} & set(columns):
        return complete
    ratings = [name for name in names.names if names.has_names and _RATING_NAMES.fullmatch(name)]
    if builder.needs_rating and not ratings:
        raise ValueError("min_rating needs rating, the column to compare with it")
    if ratings:
        # Read even if nobody asked for them: low ratings are no likes, and somebody should know.
        complete["rating" if builder.needs_rating else UNUSED_RATING] = ratings[0]
    return complete


def _has_header(
    source: Source, place: str, first: list[str], columns: Columns, kind: PairKind
) -> bool:
    """Whether the first record has the names of the columns; an error if that cannot be told."""
    if not columns or any(isinstance(column, str) for column in columns.values()):
        return True
    if kind.row in first or kind.column in first:
        return True
    raise DataError(
        f"{source.name}: {place} may be a header or data: {', '.join(first)[:_SHOWN]!r}; pass "
        "header=True if it holds the names of the columns, header=False if it does not"
    )


def _are_numbers(fields: list[str]) -> bool:
    return all(field.isdigit() for field in fields)


def _constants(
    source: Source, first: list[str], positions: dict[str, int], arrays: dict[str, pa.Array]
) -> dict[str, pa.Array]:
    """Return the columns that come from the names of folders."""
    values = list(source.columns.values())
    count = len(next(iter(arrays.values()))) if arrays else 0
    return {
        role: pa.array([values[at - len(first)]] * count)
        for role, at in positions.items()
        if at >= len(first)
    }


def read_parquet(source: Source, columns: Columns, builder: PairBuilder) -> None:
    """Add the rows of a Parquet file."""
    with source.reading("parquet", (pa.ArrowException, OSError)):
        file = pyarrow.parquet.ParquetFile(source.seekable())
        names = file.schema_arrow.names
        wanted = Names(source.name, names + list(source.columns), True)
        positions = wanted.positions(_complete(wanted, columns, builder))
        read = sorted({names[at] for at in positions.values() if at < len(names)})
        batches = file.iter_batches(_BATCH_ROWS, columns=read)
    row = 0
    while True:
        with source.reading("parquet", (pa.ArrowException, OSError)):
            batch = next(batches, None)
        if batch is None:
            return
        arrays = {
            role: batch.column(names[at]) for role, at in positions.items() if at < len(names)
        }
        arrays |= _constants(source, names, positions, arrays)
        _add_rows(source.name, arrays, row, builder)
        row += len(batch)


def read_frame(name: str, frame: Any, columns: Columns, builder: PairBuilder) -> None:
    """Add the rows of a data frame."""
    row = 0
    for batch in frame_batches(name, frame):
        names = Names(name, batch.schema.names, True)
        positions = names.positions(_complete(names, columns, builder))
        arrays = {role: batch.column(at) for role, at in positions.items()}
        _add_rows(name, arrays, row, builder)
        row += len(batch)


def _add_rows(name: str, arrays: dict[str, pa.Array], first: int, builder: PairBuilder) -> None:
    builder.tally.lines += len(next(iter(arrays.values())))
    builder.add(name, arrays, lambda row: f"row {first + row}")


def is_frame(source: Any) -> bool:
    """Whether something is a table in memory."""
    return any(
        hasattr(source, name)
        for name in ("__arrow_c_stream__", "__dataframe__", "collect_schema", "to_arrow")
    ) or type(source).__module__.startswith(("pandas.", "pyspark.", "dask."))


def frame_batches(name: str, frame: Any) -> Iterator[pa.RecordBatch]:
    """Yield a data frame as Arrow batches.

    Whatever speaks the Arrow C stream protocol (polars, pyarrow, DuckDB, newer pandas) is read
    through it, batch by batch; narwhals knows the others.
    """
    try:
        if hasattr(frame, "__arrow_c_stream__"):
            yield from pa.RecordBatchReader.from_stream(frame)
            return
        yield from _table_of(frame).to_batches(_BATCH_ROWS)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        if "non-struct" in str(error):  # a column alone
            raise TypeError(
                f"source must be a data frame with a column of users and one of items, got "
                f"{type(frame).__name__}"
            ) from error
        raise DataError(
            f"{name} cannot be read: {error}; a column of mixed values becomes text by .astype(str)"
        ) from error


def _table_of(frame: Any) -> pa.Table:
    import narwhals as nw  # only now: most frames do without it

    try:
        known = nw.from_native(frame)
    except TypeError:
        if not hasattr(frame, "__dataframe__"):
            raise TypeError(
                "source must be a path, an open file, bytes or a data frame, got "
                f"{type(frame).__name__}"
            ) from None
        from pyarrow.interchange import from_dataframe

        return from_dataframe(frame)
    if isinstance(known, nw.LazyFrame):
        known = known.collect("pyarrow")
    return known.to_arrow()
