"""Checkpoints of a training by several workers, on any file system of `pyarrow.fs`.

    training.json                       what is trained, how far it is, and the files of that state
    epoch-000007/users-00003.npz        the users of worker 3 before epoch 7 (from 0)
    epoch-000007/items.npz              all items

Workers write their files themselves. ``training.json`` is replaced when all of them are there, and
the folder that it named before is removed after that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError
from ._storage import locate, replace_file, write_file

KIND, FORMAT = "cml_fast.distributed", 1
RECORD = "training.json"

Arrays = dict[str, np.ndarray]


def folder_of(path: str, next_epoch: int) -> str:
    return f"{path.rstrip('/')}/epoch-{next_epoch:06d}"


def file_of(entity: str, number: int) -> str:
    return "items.npz" if entity == "items" else f"users-{number:05d}.npz"


def write_arrays(folder: str, number: int, arrays: dict[str, Arrays]) -> dict[str, str]:
    """Write arrays of users or items; return the SHA-256 of each file, by its name."""
    hashes = {}
    for entity, some in arrays.items():
        buffer = io.BytesIO()
        np.savez(buffer, **some)  # type: ignore[arg-type]
        name = file_of(entity, number)
        write_file(folder, name, buffer.getbuffer())
        hashes[name] = hashlib.sha256(buffer.getbuffer()).hexdigest()
    return hashes


def remove(folder: str) -> None:
    """Remove what was written of a state that is not whole, if that can be done."""
    system, place = locate(folder)
    with contextlib.suppress(OSError):
        system.delete_dir(place)


def read_arrays(folder: str, name: str, sha256: str) -> Arrays:
    """Read a file of arrays, or raise ModelError if it is not the one that was written."""
    system, place = locate(folder)
    try:
        with system.open_input_stream(f"{place}/{name}") as file:
            content = file.read()
    except FileNotFoundError:
        raise ModelError(f"{folder}/{name} is missing: the checkpoint is damaged") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{folder}/{name} has changed since it was written: it is damaged")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def recut(parts: Sequence[Arrays], bounds: np.ndarray) -> Iterator[Arrays]:
    """Yield the rows from ``bounds[w]`` to ``bounds[w + 1]`` of arrays that are cut otherwise."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for begin, end in itertools.pairwise(bounds.tolist()):
        yield {name: array[begin:end] for name, array in whole.items()}


def read_record(path: str) -> dict[str, Any] | None:
    """Read what is stored of a training; None if there is none."""
    system, place = locate(path)
    try:
        with system.open_input_stream(f"{place}/{RECORD}") as file:
            record = json.loads(file.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ModelError(f"{path}/{RECORD} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise ModelError(f"{path}/{RECORD} was not written by cml_fast.distributed")
    if record["format"] != FORMAT:
        raise ModelError(f"{path}/{RECORD} has format {record['format']}, this reads {FORMAT}")
    return record


def write_record(path: str, record: dict[str, Any], kept: Collection[int]) -> None:
    """Replace the record, then remove the files of all epochs but those that are kept."""
    from pyarrow import fs

    content = json.dumps({"kind": KIND, "format": FORMAT, **record}, indent=1).encode("ascii")
    replace_file(path, RECORD, content)
    system, place = locate(path)
    names = {folder_of(place, epoch).rpartition("/")[2] for epoch in kept}
    with contextlib.suppress(OSError):  # what is left of them is removed next time
        for entry in system.get_file_info(fs.FileSelector(place)):
            is_of_epoch = entry.base_name.startswith("epoch-") and entry.base_name not in names
            if entry.type == fs.FileType.Directory and is_of_epoch:
                system.delete_dir(entry.path)
