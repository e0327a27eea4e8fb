"""The files of a model whose users are in parts: a folder on any file system of `pyarrow.fs`.

    partitioned.json             how it was made, and the files with their sizes and SHA-256
    items.parquet                all items
    users-00003-0001.parquet     some users of worker 3

The files are tables with the columns ``id``, ``vector`` and, if it is known, ``likes``: how many
likes there were in training. Workers write their users themselves. ``partitioned.json`` is written
when all files are there; a folder without it is not complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pyarrow import fs

from .._persistence.folder import IN_PARTS
from ..errors import ModelError
from ._storage import locate, named_in_errors, replace_file, write_file

KIND, FORMAT = "cml_fast.partitioned", 1
MANIFEST = IN_PARTS
ITEMS = "items.parquet"
# Users of a part, at most: with 64 dimensions their vectors take 64 MiB.
USERS = 1 << 18
_FILE = re.compile(r"(items|users-\d{5,}-\d{4,})\.parquet")


class Entry(NamedTuple):
    """What the manifest says of a file."""

    name: str
    rows: int
    without_likes: int  # in training; 0 if that is not known
    bytes: int
    sha256: str


# --- writing --------------------------------------------------------------------------------------


def prepare(folder: str) -> None:
    """Make the folder if it is absent, and remove what an interrupted call has left in it.

    Raises
    ------
    FileExistsError
        If it has anything else, or a whole model.
    OSError
        If it cannot be made.
    """
    system, place = locate(folder)
    with named_in_errors(folder):
        system.create_dir(place, recursive=True)
    left = system.get_file_info(fs.FileSelector(place))
    for entry in left:
        if entry.base_name == MANIFEST:
            raise FileExistsError(f"{folder} holds a model: give another folder")
        if not _FILE.fullmatch(entry.base_name) and entry.base_name != f"{MANIFEST}.new":
            raise FileExistsError(
                f"{folder} holds {entry.base_name!r}: give an empty or a new folder"
            )
    for entry in left:
        system.delete_file(entry.path)


def write_users(
    folder: str,
    number: int,
    vectors: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray | None,
    users_per_part: int = USERS,
) -> list[Entry]:
    """Write the users of worker ``number``.

    Parameters
    ----------
    folder : str
    number : int
    vectors : numpy.ndarray, (n, r), float32
    ids : numpy.ndarray, (n,), int64, or object with a str in each place
    counts : numpy.ndarray, (n,), int64, or None
        How many likes each has.
    users_per_part : int

    Returns
    -------
    list of Entry
        Of the files, in the order of the users.
    """
    entries = []
    for at, first in enumerate(range(0, len(vectors), users_per_part)):
        own = slice(first, first + users_per_part)
        some = None if counts is None else counts[own]
        name = f"users-{number:05d}-{at:04d}.parquet"
        entries.append(_write(folder, name, vectors[own], ids[own], some))
    return entries


def write_whole(
    folder: str,
    users: Sequence[Entry],
    vectors: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray | None,
    about: dict[str, Any],
) -> None:
    """Write the items and the manifest, with which the folder is complete.

    Parameters
    ----------
    folder : str
    users : sequence of Entry
        The files of all users, in their order.
    vectors, ids, counts
        Of all items, as for `write_users`.
    about : dict
        The model's "hyperparameters", "history" and "version".

    Raises
    ------
    FileNotFoundError
        If a file of users is not there for this process.
    OSError
        If writing fails.
    """
    system, place = locate(folder)
    for entry in users:
        if system.get_file_info(f"{place}/{entry.name}").size != entry.bytes:
            raise FileNotFoundError(
                f"{folder}/{entry.name} was written by a worker, and is not there for the process "
                "that called fit: give a folder or URI that all nodes reach"
            )
    items = _write(folder, ITEMS, vectors, ids, counts)
    files = [entry._asdict() for entry in (items, *users)]
    body = {**about, "n_dims": vectors.shape[1], "files": files}
    record = {"kind": KIND, "format": FORMAT, **body, "checksum": _checksum(body)}
    replace_file(folder, MANIFEST, json.dumps(record, indent=1).encode("ascii"))


def _write(
    folder: str, name: str, vectors: np.ndarray, ids: np.ndarray, counts: np.ndarray | None
) -> Entry:
    n, r = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    columns = {
        "id": pa.array(ids, pa.int64() if ids.dtype.kind == "i" else pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, r),
    }
    if counts is not None:
        columns["likes"] = pa.array(counts, pa.int64())
    sink = pa.BufferOutputStream()
    # A dictionary of vectors, all of which differ, would only cost time.
    repeated = [column for column in columns if column != "vector"]
    pa.parquet.write_table(pa.table(columns), sink, use_dictionary=repeated)
    content = sink.getvalue()
    write_file(folder, name, content)
    n_cold = 0 if counts is None else int((counts == 0).sum())
    return Entry(name, n, n_cold, content.size, hashlib.sha256(content).hexdigest())


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()


# --- reading --------------------------------------------------------------------------------------


def read_table(folder: str, entry: Entry) -> pa.Table:
    """Read a file, or raise ModelError if it is not the one that was written."""
    system, place = locate(folder)
    try:
        with system.open_input_stream(f"{place}/{entry.name}") as file:
            content = file.read()
    except FileNotFoundError:
        raise ModelError(f"{folder}/{entry.name} is missing: the model is incomplete") from None
    _check_size(folder, entry, len(content))
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelError(
            f"{folder}/{entry.name} is damaged or of another model: its SHA-256 is not the one in "
            f"{MANIFEST}"
        )
    return pa.parquet.read_table(pa.BufferReader(content), use_threads=False)


def check_files(folder: str, entries: Iterable[Entry]) -> None:
    """Raise ModelError unless all files are there and have their size."""
    system, place = locate(folder)
    for entry in entries:
        found = system.get_file_info(f"{place}/{entry.name}")
        if found.type != fs.FileType.File:
            raise ModelError(f"{folder}/{entry.name} is missing: the model is incomplete")
        _check_size(folder, entry, found.size)


def _check_size(folder: str, entry: Entry, n_bytes: int) -> None:
    if n_bytes != entry.bytes:
        raise ModelError(
            f"{folder}/{entry.name} has {n_bytes} bytes instead of {entry.bytes}: it is truncated, "
            "or of another model"
        )


def read_manifest(folder: str) -> dict[str, Any]:
    """Read how the model was made, or raise ModelError if the folder has no whole one."""
    system, place = locate(folder)
    try:
        with system.open_input_stream(f"{place}/{MANIFEST}") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"{folder} has no {MANIFEST}: it is no such model, or incomplete"
        ) from None
    except ValueError as error:
        raise ModelError(f"{folder}/{MANIFEST} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise ModelError(f"{folder}/{MANIFEST} is not the manifest of a partitioned model")
    if record.get("format") != FORMAT:
        raise ModelError(
            f"{folder}/{MANIFEST} has format {record.get('format')}, and this release of cml_fast "
            f"reads {FORMAT}"
        )
    body = {name: v for name, v in record.items() if name not in ("kind", "format", "checksum")}
    if record.get("checksum") != _checksum(body):
        raise ModelError(f"{folder}/{MANIFEST} is damaged or was edited by hand")
    return record


def ids_in(table: pa.Table) -> np.ndarray:
    column = table["id"]
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.array(column.to_pylist(), dtype=object)


def vectors_in(table: pa.Table) -> np.ndarray:
    column = table["vector"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(column), -1)


def counts_in(table: pa.Table) -> np.ndarray | None:
    return np.asarray(table["likes"].to_numpy()) if "likes" in table.column_names else None
