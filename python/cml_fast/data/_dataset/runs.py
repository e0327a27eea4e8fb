"""Runs: the pairs of the source, as Parquet files with one type of ids each.

The readers of all formats read the source, so that a row means here what it means for
`load_interactions`. What they read goes to files instead of memory.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ...errors import DataError
from .._readers.builder import PairBuilder
from .._readers.pairs import INTERACTIONS, Pairs
from .folder import sync

ROLES = (INTERACTIONS.row, INTERACTIONS.column)
# Rows that are sorted or read together by whoever reads the runs.
_GROUP_ROWS = 1 << 17
# A run has about so many rows, so that killing a build does not lose much.
_RUN_ROWS = 1 << 24


class RunWriter(PairBuilder):
    """A builder that writes the pairs it gets to runs in a folder.

    Attributes
    ----------
    runs : list of dict
        The file, the number of rows, and the types of the ids ("int64" or "text", by role).
    """

    folder: Path

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.runs: list[dict[str, Any]] = []
        self._writer: Any = None
        self._types: dict[str, str] = {}
        self._rows = 0

    @property
    def counters(self) -> dict[str, Any]:
        """What is to be known to go on later."""
        optional = None if self._optional is None else sorted(self._optional)
        return {"tally": vars(self.tally), "ratings": self._ratings, "optional": optional}

    def restore(self, runs: list[dict[str, Any]], counters: dict[str, Any]) -> None:
        """Go on with runs that were written before."""
        self.runs = list(runs)
        vars(self.tally).update(counters["tally"])
        self._ratings = tuple(counters["ratings"])
        optional = counters["optional"]
        self._optional = None if optional is None else set(optional)

    def register(self, role: str, ids: pa.Array) -> None:
        """Keep ids of which no pairs may follow, as rows without the other id."""
        if len(ids):
            texts = {role: ids.cast(pa.string())}
            other = next(name for name in ROLES if name != role)
            self._write({**texts, other: pa.nulls(len(ids), pa.string())}, None)

    def take(self, pairs: Pairs) -> None:
        raise ValueError("npz matrices are in memory as a whole: read them by load_interactions")

    def _store(
        self,
        ids: dict[str, pa.Array],
        weights: np.ndarray | None = None,
        times: np.ndarray | None = None,
    ) -> None:
        if len(ids[ROLES[0]]):
            self._write(ids, weights)

    def _write(self, ids: dict[str, pa.Array], weights: np.ndarray | None) -> None:
        columns = {role: _as_integers(ids[role]) for role in ROLES}
        types = {role: _name(column.type) for role, column in columns.items()}
        if self._writer is not None:
            for role in ROLES:
                if self._types[role] == "text":  # a run may have numbers among its texts
                    columns[role], types[role] = ids[role], "text"
            if types != self._types or self._rows >= _RUN_ROWS:
                self.end_run()
        if "weight" in (self._optional or ()):
            values = np.ones(len(ids[ROLES[0]]), np.float32) if weights is None else weights
            columns["weight"] = pa.array(values)
        batch = pa.record_batch(columns)
        if self._writer is None:
            self._types, self._rows = types, 0
            self._path = self.folder / f"run-{len(self.runs):06d}.parquet"
            self._file = self._path.open("wb")
            self._writer = pa.parquet.ParquetWriter(self._file, batch.schema, compression="zstd")
        self._writer.write_batch(batch, row_group_size=_GROUP_ROWS)
        self._rows += len(batch)

    def end_run(self) -> None:
        """Write the end of the run, if one is begun."""
        if self._writer is None:
            return
        self._writer.close()
        sync(self._file)
        self._file.close()
        self.runs.append({"file": self._path.name, "rows": self._rows, "types": self._types})
        self._writer = None

    def close(self) -> None:
        """Give up a run that is not ended."""
        if self._writer is not None:
            with contextlib.suppress(OSError, ValueError, pa.ArrowException):
                self._writer.close()
            self._file.close()


def make_alike(folder: Path, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the ids of a role one type in all runs: texts, if some are no integers."""
    kinds = {
        role: "text" if any(run["types"][role] == "text" for run in runs) else "int64"
        for role in ROLES
    }
    alike = []
    for run in runs:
        if run["types"] != kinds:
            path = folder / run["file"]
            temporary = path.with_suffix(".tmp")
            _rewrite(path, temporary, kinds)
            temporary.replace(path)
        alike.append({**run, "types": kinds})
    return alike


def _rewrite(path: Path, out: Path, kinds: dict[str, str]) -> None:
    with pa.parquet.ParquetFile(path) as old, out.open("wb") as file:
        schema = old.schema_arrow
        for role, kind in kinds.items():
            if kind == "text":
                schema = schema.set(schema.get_field_index(role), pa.field(role, pa.string()))
        with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in old.iter_batches(_GROUP_ROWS, use_threads=False):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        sync(file)


def _name(kind: pa.DataType) -> str:
    return "int64" if pa.types.is_integer(kind) else "text"


def _as_integers(text: pa.Array) -> pa.Array:
    """Return ids as int64, if all of them are integers as Python writes them."""
    try:
        numbers = text.cast(pa.int64())
    except pa.ArrowInvalid:
        return text
    return numbers if numbers.cast(text.type).equals(text) else text


def check_runs(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Raise DataError if a run is not there any more."""
    for run in runs:
        if not (folder / run["file"]).is_file():
            raise DataError(
                f"{folder / run['file']} is missing: remove {folder.parent} to begin anew"
            )
