"""The folder of a data set: its files, its manifest, and the checks of both.

The arrays are those of a CSR matrix, one file each. A part is a range of successive users: the
manifest has the SHA-256 of the bytes that each part has in each file. The manifest is written last,
so a folder without one is not whole. Its token is the SHA-256 of all that it says, and so names the
content of the whole folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..._validation.matrices import MAX_OBJECTS
from ...errors import DataError

MANIFEST = "dataset.json"
FORMAT, FORMAT_VERSION = "cml_fast dataset", 1
# The arrays, one in each file <name>.npy. Weights are there only if not all of them are 1.
DTYPES: dict[str, np.dtype[Any]] = {
    "indptr": np.dtype("<i8"),
    "indices": np.dtype("<i4"),
    "weights": np.dtype("<f4"),
}
IDS = ("user_ids", "item_ids")
# Files of arrays begin with a header of this size, whatever their length.
HEADER_BYTES = 128
# Bytes that are hashed, or entries that are checked, at a time.
_BLOCK = 1 << 22
_REMEDY = "prepare the data set again"


class Part(NamedTuple):
    """A range of users, the range of their pairs, and the SHA-256 of their bytes by array."""

    users: tuple[int, int]
    pairs: tuple[int, int]
    sha256: dict[str, str]

    def entries(self, array: str) -> tuple[int, int]:
        """Return the range of the entries of an array that belong to this part."""
        begin, end = self.users if array == "indptr" else self.pairs
        # The first entry of indptr is 0 in every data set, and in no part.
        return (begin + 1, end + 1) if array == "indptr" else (begin, end)


class Manifest(NamedTuple):
    """What the manifest says; ``ids_sha256`` are of the ids, whatever file holds them."""

    n_users: int
    n_items: int
    n_pairs: int
    is_weighted: bool
    parts: list[Part]
    ids_sha256: dict[str, str]

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays that there are."""
        return tuple(DTYPES) if self.is_weighted else ("indptr", "indices")

    def length(self, array: str) -> int:
        """Return how many entries an array has."""
        return self.n_users + 1 if array == "indptr" else self.n_pairs

    @property
    def token(self) -> str:
        """The SHA-256 of all that the manifest says."""
        return hashlib.sha256(json.dumps(self._body(), sort_keys=True).encode()).hexdigest()

    def _body(self) -> dict[str, Any]:
        parts = [part._asdict() for part in self.parts]
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **self._asdict(),
            "parts": parts,
        }

    def write(self, folder: Path) -> None:
        """Write the manifest, in one step."""
        text = json.dumps({**self._body(), "token": self.token}, indent=1)
        temporary = folder / f".{MANIFEST}.tmp"
        with temporary.open("w") as file:
            file.write(text + "\n")
            sync(file)
        os.replace(temporary, folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    DataError
        If it is not a data set, or its manifest is damaged or of a newer format.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no data set at {folder}")
    if not path.is_file():
        raise DataError(
            f"{folder} is not a data set: it has no {MANIFEST}; prepare one with Dataset.build"
        )
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError
        version = content["format_version"]
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path} has format {version}, and this release of cml_fast reads up to "
                f"{FORMAT_VERSION}: upgrade cml_fast"
            )
        parts = [
            Part(tuple(part["users"]), tuple(part["pairs"]), part["sha256"])
            for part in content["parts"]
        ]
        given = {name: content[name] for name in Manifest._fields}
        manifest = Manifest(**{**given, "parts": parts})
        if content["token"] != manifest.token or not _is_sound(manifest):
            raise ValueError
    except DataError:
        raise
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DataError(f"{path} is damaged or was edited by hand: {_REMEDY}") from error
    return manifest


def _is_sound(manifest: Manifest) -> bool:
    """Whether the counts are possible, and the parts are successive and cover all."""
    users, pairs = 0, 0
    for part in manifest.parts:
        if part.users[0] != users or part.pairs[0] != pairs:
            return False
        users, pairs = part.users[1], part.pairs[1]
    counts = manifest.n_users, manifest.n_items
    return (users, pairs) == (manifest.n_users, manifest.n_pairs) and (
        min(counts) > 0 and max(counts) <= MAX_OBJECTS and pairs > 0
    )


def header(array: str, length: int) -> bytes:
    """Return how the file of an array of this length begins."""
    text = f"{{'descr': '{DTYPES[array].str}', 'fortran_order': False, 'shape': ({length},), }}"
    magic = b"\x93NUMPY\x01\x00"
    size = HEADER_BYTES - len(magic) - 2
    return magic + struct.pack("<H", size) + text.encode().ljust(size - 1) + b"\n"


def map_array(folder: Path, manifest: Manifest, array: str) -> np.memmap:
    """Return an array, memory-mapped and read-only.

    Raises
    ------
    DataError
        If the file is missing, truncated or of another data set.
    """
    path, length = folder / f"{array}.npy", manifest.length(array)
    expected = HEADER_BYTES + length * DTYPES[array].itemsize
    try:
        found = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(HEADER_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: {_REMEDY}, or copy the whole folder") from None
    if found != expected:
        raise DataError(
            f"{path} has {found:,} bytes instead of {expected:,}: it is truncated or of another "
            f"data set; {_REMEDY}, or copy the whole folder"
        )
    if begin != header(array, length):
        raise DataError(f"{path} does not begin as it should: it is damaged; {_REMEDY}")
    mapped: np.memmap = np.memmap(path, DTYPES[array], "r", HEADER_BYTES, (length,))
    return mapped


def check_offsets(folder: Path, manifest: Manifest, indptr: np.ndarray) -> None:
    """Raise DataError unless ``indptr`` rises from 0, as the parts say."""
    is_right = indptr[0] == 0 and all(
        indptr[part.users[1]] == part.pairs[1] for part in manifest.parts
    )
    for begin in range(0, manifest.n_users, _BLOCK):
        block = indptr[begin : begin + _BLOCK + 1]
        is_right = is_right and bool((block[1:] >= block[:-1]).all())
    if not is_right:
        raise DataError(
            f"{folder / 'indptr.npy'} is damaged, or of another data set than {MANIFEST}: {_REMEDY}"
        )


def verify_arrays(
    folder: Path, manifest: Manifest, users: tuple[int, int] | None = None
) -> Iterator[int]:
    """Compare the checksums of all parts; yield the pairs of each part that is right.

    With ``users``: of the parts that have some of the users from the first of these to the second.

    Raises
    ------
    DataError
        At the first part that is not.
    """
    arrays = {name: map_array(folder, manifest, name) for name in manifest.arrays}
    for number, part in enumerate(manifest.parts):
        if users is not None and (part.users[1] <= users[0] or part.users[0] >= users[1]):
            continue
        for name, array in arrays.items():
            begin, end = part.entries(name)
            if sha256(array[begin:end]) != part.sha256[name]:
                raise DataError(
                    f"{folder / name}.npy is damaged, or of another data set: part {number} (users "
                    f"{part.users[0]:,} to {part.users[1] - 1:,}) has another SHA-256 than in "
                    f"{MANIFEST}; {_REMEDY}, or copy the file again"
                )
        yield part.pairs[1] - part.pairs[0]


def sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes."""
    digest = hashlib.sha256()
    for begin in range(0, len(array), _BLOCK):
        digest.update(np.ascontiguousarray(array[begin : begin + _BLOCK]).data)
    return digest.hexdigest()


def sync(file: Any) -> None:
    """Force what was written to an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())
