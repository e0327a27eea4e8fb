"""Saving models and tables: nothing that is there is replaced without ``--overwrite``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._persistence.one_file import write_file

if TYPE_CHECKING:
    from ..data import Interactions

FORMATS = ("csv", "parquet")


def check_out(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder in which a model could not be saved, before the work and not after it."""
    from .._persistence.folder import check_writable

    check_writable(folder, "model")
    if (folder / "model.json").exists() and not overwrite:
        raise FileExistsError(
            f"{folder} has a model: give another folder, or replace it with --overwrite"
        )


def write_interactions(part: Interactions, path: Path) -> None:
    """Write a table with a row for each interaction, in one step.

    The columns are ``user``, ``item``, ``weight`` if not all are 1, and ``timestamp`` if known.
    """
    import numpy as np
    import pyarrow as pa  # only now, because it is slow to load
    from pyarrow import csv, parquet

    matrix = part.matrix
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns: dict[str, Any] = {
        "user": part.user_ids[rows],
        "item": part.item_ids[matrix.indices],
    }
    if (matrix.data != 1).any():
        columns["weight"] = matrix.data
    if part.timestamps is not None:
        columns["timestamp"] = part.timestamps
    table, written = pa.table(columns), pa.BufferOutputStream()
    (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, written)
    write_file(path, written.getvalue())
