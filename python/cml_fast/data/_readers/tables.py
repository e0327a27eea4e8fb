"""Tables with a pair of ids a row: which column is what, and reading text, Parquet and frames.

Only functions that read such a table import this module: pyarrow is slow to load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ..._threads import can_start_threads
from ..._validation.scalars import check_int
from ...errors import DataError
from .builder import PairBuilder
from .columns import check_column
from .files import Source
from .pairs import FEATURES, INTERACTIONS, SPARE_ITEM, UNUSED_RATING, PairKind
from .tags import TagColumns, is_list, tag_rows, take_tags
from .text import Dialect, TextTable

# Columns by role, such as "user", each by its name or position.
Columns = Mapping[str, str | int]
# What pyarrow raises for files that are damaged or of a kind that it does not know.
PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, OverflowError)
# Roles that may name one column together.
_MAY_SHARE = {"rating", "weight"}
_WHERE = "where "
# Rows of Parquet that are read together.
_BATCH_ROWS = 1 << 16
_BUFFER_BYTES = 1 << 20
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
            argument = "rating" if role == UNUSED_RATING else role.split(" ")[0]
            raise DataError(
                f"{self.source} has {what} {column!r}; the columns are: {listing}. "
                f"Name the right one with {argument}={self._delimiter_hint()}"
            )
        return self.names.index(column)

    def _delimiter_hint(self) -> str:
        """Say what the delimiter may be, where all columns seem to be one."""
        if len(self.names) != 1:
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


class Rows:
    """Adds the rows of a table to a builder: which column is what, and the tags in them.

    Parameters
    ----------
    name : str
        Of the file, for error messages.
    names : list of str
        The names of the columns, or what stands in their place.
    has_names : bool
    columns : dict
        By role, as the caller and the format give them.
    builder : PairBuilder
    constants : dict of str to str
        More columns, with one value for all rows.

    Attributes
    ----------
    positions : dict of str to int
        The columns to read by role, without constant ones.
    """

    def __init__(
        self,
        name: str,
        names: list[str],
        has_names: bool,
        columns: Mapping[str, Any],
        builder: PairBuilder,
        constants: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        single, self._tags = take_tags(columns)
        known = Names(name, [*names, *constants], has_names)
        positions = known.positions(_complete(known, single, builder, self._tags))
        self.positions = {role: at for role, at in positions.items() if at < len(names)}
        values = list(constants.values())
        self._constants = {
            role: values[at - len(names)] for role, at in positions.items() if at >= len(names)
        }
        self._labels = {
            role: known.names[at] if has_names else str(at) for role, at in positions.items()
        }
        self._name, self._builder = name, builder

    def add(self, arrays: dict[str, pa.Array], place: Callable[[int], str]) -> None:
        """Add a batch, by role; ``place`` says where a row is."""
        count = len(next(iter(arrays.values()))) if arrays else 0
        arrays |= {role: pa.array([value] * count) for role, value in self._constants.items()}
        spare = arrays.pop(SPARE_ITEM, None)
        if spare is not None:
            item = self._builder.kind.column
            is_blank = pc.equal(pc.utf8_trim_whitespace(arrays[item]), "")
            arrays[item] = pc.if_else(is_blank, spare, arrays[item])
        kind, tags = self._builder.kind, self._tags
        if tags is None and kind is FEATURES and is_list(arrays[kind.column]):
            tags = TagColumns((kind.column,), (), {})
        if tags is None:
            self._builder.add(self._name, arrays, place)
            return
        try:
            rows = tag_rows(arrays, tags, self._labels, self._builder.missing)
        except DataError as error:  # of a column as a whole
            raise DataError(f"{self._name}: {error}") from error
        self._builder.add_tags(self._name, rows, place)


def read_text(
    source: Source,
    dialect: Dialect,
    header: bool | None,
    columns: Mapping[str, Any],
    builder: PairBuilder,
    names: tuple[str, ...] = (),
) -> None:
    """Add the rows of a text table. ``header=None`` means that it is to be found out.

    ``names`` are those of columns that have none in the file.
    """
    single, _ = take_tags(columns)
    table = TextTable(source, dialect, builder.tally)
    first = [name.strip() for name in table.first]
    if header is None:
        header = _has_header(source, table.first_place, first, single, builder.kind)
    elif header and _are_numbers(first) and any(isinstance(c, int) for c in single.values()):
        raise DataError(
            f"{source.name}: {table.first_place} holds numbers, not the names of columns; if "
            "there is no header, pass header=False, else give the columns by name"
        )
    if header:
        table.skip_header()
    if names:
        first = [names[at] if at < len(names) else str(at) for at in range(len(first))]
    rows = Rows(source.name, first, header or bool(names), columns, builder, source.columns)
    for batch in table.batches(list(rows.positions.values())):
        rows.add(dict(zip(rows.positions, batch.columns, strict=True)), batch.place)


def _complete(
    names: Names, columns: Columns, builder: PairBuilder, tags: TagColumns | None = None
) -> Columns:
    """Return the columns to read: those asked for, the default ones, and perhaps the ratings."""
    roles = (builder.kind.row, builder.kind.column)
    defaults: dict[str, str | int] = {
        role: role if names.has_names else at for at, role in enumerate(roles)
    }
    if tags is not None and builder.kind.column not in tags.categories:
        del defaults[builder.kind.column]
    complete = {**defaults, **columns}
    is_needed = builder.needs_rating and "rating" not in columns
    is_known = {"rating", "weight", UNUSED_RATING} & set(columns)
    if builder.kind is not INTERACTIONS or (is_known and not is_needed):
        return complete
    ratings = [name for name in names.names if names.has_names and _RATING_NAMES.fullmatch(name)]
    if builder.needs_rating and not ratings:
        raise DataError(f"{names.source}: min_rating needs rating, the column to compare with it")
    if ratings and (is_needed or ratings[0] not in complete.values()):
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


def read_parquet(source: Source, columns: Mapping[str, Any], builder: PairBuilder) -> None:
    """Add the rows of a Parquet file."""
    with source.reading("parquet", PARQUET_ERRORS):
        # With a buffer, a page is in memory and not all of the columns of a group of rows.
        file = pyarrow.parquet.ParquetFile(source.seekable(), buffer_size=_BUFFER_BYTES)
        names = file.schema_arrow.names
    rows = Rows(source.name, names, True, columns, builder, source.columns)
    read = sorted({names[at] for at in rows.positions.values()})
    repeated = next((name for name in read if names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{source.name} has several columns {repeated!r}; rename them")
    row = 0
    for batch in _parquet_batches(source, file, read):
        builder.tally.lines += len(batch)
        found = {role: batch.column(names[at]) for role, at in rows.positions.items()}
        arrays = _checked(source.name, found)
        rows.add(arrays, _place_of_row(row))
        row += len(batch)


def _parquet_batches(source: Source, file: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, some groups of rows after the other.

    pyarrow keeps what it has read of a file until the last group that it was asked for: all of the
    file, if it is asked for all groups together.
    """
    with source.reading("parquet", PARQUET_ERRORS):
        sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        use_threads = can_start_threads(min(pa.cpu_count(), len(columns)))
    begin = together = 0
    for at, size in enumerate(sizes):
        together += size
        if together < _BATCH_ROWS and at + 1 < len(sizes):
            continue
        groups, together, begin = range(begin, at + 1), 0, at + 1
        with source.reading("parquet", PARQUET_ERRORS):
            batches = file.iter_batches(
                _BATCH_ROWS, row_groups=groups, columns=columns, use_threads=use_threads
            )
        while True:
            with source.reading("parquet", PARQUET_ERRORS):
                batch = next(batches, None)
            if batch is None:
                break
            yield batch


def read_frame(name: str, frame: Any, columns: Mapping[str, Any], builder: PairBuilder) -> None:
    """Add the rows of a data frame."""
    row = 0
    for batch in frame_batches(name, frame):
        try:
            names = batch.schema.names
        except UnicodeDecodeError as error:
            raise DataError(f"{name} has a column whose name is not UTF-8: {error}") from error
        rows = Rows(name, names, True, columns, builder)
        builder.tally.lines += len(batch)
        found = {role: batch.column(at) for role, at in rows.positions.items()}
        arrays = _checked(name, found)
        rows.add(arrays, _place_of_row(row))
        row += len(batch)


def _checked(name: str, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Return columns that Arrow has read, by role, or raise a DataError if one is damaged."""
    try:
        return {role: check_column(role, column) for role, column in columns.items()}
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _place_of_row(first: int) -> Callable[[int], str]:
    return lambda row: f"row {first + row}"


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
        if isinstance(frame, pa.Table):  # the protocol would drop the sizes of its buffers
            yield from frame.to_batches()
            return
        if isinstance(frame, pa.RecordBatchReader):
            yield from frame
            return
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
