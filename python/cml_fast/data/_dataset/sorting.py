"""Sorts runs by user and item in DuckDB, which writes to the disk what does not fit in memory."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..._memory import readable
from ..._threads import can_start_threads, usable_cores
from ...errors import DataError

# Rows that come from DuckDB at a time.
_BATCH_ROWS = 1 << 16
# What a thread of DuckDB needs to be of use.
_BYTES_OF_A_THREAD = 1 << 25
# What DuckDB takes besides what it is given. It ends the process where a thread gets no memory.
_BYTES_BESIDES = 1 << 28


class Engine:
    """DuckDB, with a bound of its memory and a folder for what does not fit."""

    def __init__(self, n_bytes: int, spill: Path) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise ImportError(
                "preparing a data set needs the package duckdb: pip install 'cml-fast[duckdb]'"
            ) from error
        self._duckdb, self._n_bytes, self._spill = duckdb, n_bytes, spill
        threads = max(1, min(usable_cores(), n_bytes // _BYTES_OF_A_THREAD))
        if not can_start_threads(threads, n_bytes + _BYTES_BESIDES):
            raise MemoryError(
                f"DuckDB may need up to {readable(n_bytes + _BYTES_BESIDES)} of address space and "
                f"{threads} threads, and the system does not give so much; let this process have "
                "more"
            )
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{n_bytes // 1000}KB",
                "threads": threads,
                "temp_directory": str(spill),
                "preserve_insertion_order": False,
            },
        )
        self._connection.execute("SET enable_progress_bar = false")  # it would be on stdout

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the result of a query as it comes."""
        with self._explained():
            # Of a relation: the result of execute() would be in memory as a whole.
            relation = self._connection.sql(query)
            read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
            reader = read(_BATCH_ROWS)
        while True:
            with self._explained():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Remove what is in memory and what was written."""
        self._connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (self._duckdb.Error, pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            if "No space left" in reason or "max_temp_directory_size" in reason:
                raise OSError(errno.ENOSPC, "No space left on device", str(self._spill)) from error
            if isinstance(error, self._duckdb.OutOfMemoryException) or "Out of Memory" in reason:
                raise MemoryError(
                    f"memory is too small to sort the pairs ({self._n_bytes:,} bytes of it are "
                    f"for that): give more, and the same call goes on. DuckDB says: {reason[:200]}"
                ) from error
            raise DataError(
                f"{self._spill.parent} has runs that cannot be read: {reason[:300]}; remove it to "
                "begin anew"
            ) from error


def _table(paths: Sequence[Path], **options: Any) -> str:
    """Return a table of Parquet files for a query.

    It is one table of all files: for each table of a UNION ALL, DuckDB would keep buffers that
    cannot be spilled.
    """
    listed = ", ".join(_literal(_without_wildcards(str(path))) for path in paths)
    given = "".join(f", {name} = {value}" for name, value in options.items())
    return f"read_parquet([{listed}]{given})"


def _without_wildcards(path: str) -> str:
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def item_batches(engine: Engine, runs: Sequence[Path]) -> Iterator[pa.Array]:
    """Yield the ids of all items in ascending order."""
    query = f"SELECT item FROM {_table(runs)} WHERE item IS NOT NULL GROUP BY item ORDER BY item"
    for batch in engine.batches(query):
        yield batch.column(0)


def sorted_batches(
    engine: Engine, runs: Sequence[Path], items: Path, last: Path | None, is_weighted: bool
) -> Iterator[pa.RecordBatch]:
    """Yield ``user`` (id), ``item`` (row number, null for a user without items) and ``weight``.

    They are sorted by all of these, so that sums of weights do not depend on the order of the rows
    in the source. ``last`` has ids of users after whose last one to begin.
    """
    weight = ", weight" if is_weighted else ""
    after = "" if last is None else f'AND "user" > (SELECT max(id) FROM {_table([last])})'
    yield from engine.batches(
        f'SELECT "user", i.file_row_number AS row{weight} FROM {_table(runs)} '
        f"LEFT JOIN {_table([items], file_row_number='true')} i ON item = i.id "
        f'WHERE "user" IS NOT NULL {after} ORDER BY "user", row{weight}'
    )


class Merged:
    """What `merge` makes of a batch: whole pairs, and the users that begin in it.

    Attributes
    ----------
    items : numpy.ndarray, (n,), int32
    weights : numpy.ndarray, (n,), float64, or None
    users : pyarrow.Array, (m,)
        The ids of users that begin.
    starts : numpy.ndarray, (m,), int64
        At which of ``items`` each of them begins.
    """

    def __init__(
        self, items: np.ndarray, weights: np.ndarray | None, users: pa.Array, starts: np.ndarray
    ) -> None:
        self.items, self.weights, self.users, self.starts = items, weights, users, starts


class Merger:
    """Merges rows that repeat, in batches that are sorted; weights are added.

    A pair is held back until one with another user or item follows. Sums are in float64 and in the
    order of the rows, so that they do not depend on where the batches end.
    """

    def __init__(self) -> None:
        self._user: Any = None  # of the last row, as an array of one
        self._item = -1  # held back; -1 if none is
        self._weight = 0.0

    def add(self, batch: pa.RecordBatch) -> Merged:
        """Return what a batch completes."""
        users = batch.column(0)
        items = batch.column(1).fill_null(-1).to_numpy().astype(np.int64)
        given = batch.num_columns > 2
        # The pair that is held back goes before the others.
        before = users.slice(0, 1) if self._user is None else self._user
        own = pa.concat_arrays([before, users])
        begins_user = np.append(
            False, pc.not_equal(own[1:], own[:-1]).to_numpy(zero_copy_only=False)
        )
        begins_user[1] |= self._user is None
        rows = np.append(self._item, items)
        begins = begins_user.copy()
        begins[1:] |= rows[1:] != rows[:-1]
        begins[0] = True
        group = np.cumsum(begins) - 1
        firsts = np.flatnonzero(begins)
        found = rows[firsts]
        weights = None
        if given:
            values = np.append(self._weight, batch.column(2).to_numpy().astype(np.float64))
            values[rows < 0] = 0
            weights = np.bincount(group, values)
            self._weight = float(weights[-1])
        self._user, self._item = users.slice(len(users) - 1), int(found[-1])
        is_pair = found[:-1] >= 0
        at = np.flatnonzero(begins_user)
        # How many whole pairs are before the first row of each user.
        starts = np.append(0, np.cumsum(is_pair))[np.minimum(group[at], len(is_pair))]
        return Merged(
            found[:-1][is_pair].astype(np.int32),
            None if weights is None else weights[:-1][is_pair],
            own.take(pa.array(at)),
            starts,
        )

    def rest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the item and the weight that are held back, if any."""
        n = int(self._item >= 0)
        return np.full(n, self._item, np.int32), np.full(n, self._weight)
