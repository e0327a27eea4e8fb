"""Folders of data files that are replaced atomically and verified when they are read.

A folder holds data files and one manifest, ``<kind>.json``, which lists them with their sizes and
SHA-256. The name of a data file contains its hash, so a new file never overwrites an old one with
other content. The new content becomes valid in one step, when the manifest is replaced. A process
that is killed at any moment leaves either the old or the new content, and perhaps files that the
next write removes.

Processes that write to one folder do so one after the other: each holds a lock on the folder, which
the system releases even if the process is killed. A reader takes no lock, so that it never waits
for a long write; only if something was not as it should be, it waits for the writers and reads
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from .._locks import lock_for_reading, lock_for_writing
from .._memory import check_room, memory_errors
from ..errors import ModelError

FORMAT = "cml_fast"
FORMAT_VERSION = 1
# What a folder of cml_fast.distributed has instead of a manifest.
IN_PARTS = "partitioned.json"

# The advice at the end of error messages; by default: save it again.
_REMEDIES = {"checkpoint": "training cannot go on from it and has to begin anew in another folder"}

_DATA_FILE = re.compile(r"[a-z]+-[0-9a-f]{16}\.[a-z]+")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}-[a-z]+\.[a-z]+")

Writer = Callable[[Path], None]
T = TypeVar("T")


def write_folder(
    folder: Path, kind: str, files: Mapping[str, Writer], info: dict[str, Any]
) -> None:
    """Replace the content of ``folder`` by ``files`` and ``info`` in one step.

    Parameters
    ----------
    folder : pathlib.Path
        Created if absent; otherwise empty or a folder of the same kind.
    kind : str
        What the folder holds, in lower-case letters. The manifest is ``<kind>.json``.
    files : mapping of str to function
        For each name (lower-case letters, a dot, a suffix of lower-case letters) a function that
        writes the file at the path it is given.
    info : dict
        JSON values to keep in the manifest.

    Raises
    ------
    FileExistsError
        If ``folder`` is a file, or holds something that is not of this kind.
    ModelError
        If it is of this kind, but damaged or of a newer format.
    OSError
        If writing fails, for instance for lack of space; the old content is still there.
    """
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder: give another path")
    with lock_for_writing(folder) as created:
        # Only now, because another process may have written before.
        _check_replaceable(folder, kind)
        _write_locked(folder, kind, files, info, created)


def _write_locked(
    folder: Path, kind: str, files: Mapping[str, Writer], info: dict[str, Any], created: bool
) -> None:
    try:
        entries = {name: _write_data_file(folder, name, write) for name, write in files.items()}
        body = {"kind": kind, "info": info, "files": entries}
        manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **body}
        manifest["checksum"] = _checksum(body)
        temporary = _temporary(folder, f"{kind}.json")
        text = json.dumps(manifest, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="ascii")
        _sync(temporary)
        _sync(folder)  # the data files are on the disk before the manifest that lists them
        os.replace(temporary, folder / f"{kind}.json")
        _sync(folder)
        if created:
            _sync(folder.parent)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        # Writing to an open file does not say which one it was.
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        # Files of a failed write, or of the old content, are of no use any more. If removing them
        # fails as well, that error must not hide the outcome of the write.
        with contextlib.suppress(OSError, ModelError):
            _remove_unlisted(folder, kind)
            if created and not any(folder.iterdir()):
                folder.rmdir()


def read_settled(folder: Path, read: Callable[[], T]) -> T:
    """Return ``read()``, which reads a folder while other processes may write to it.

    A write in the middle of reading can remove files that the old manifest lists. So if reading
    fails, this waits until nobody writes and reads again; that error is a true one.
    """
    try:
        return read()
    except (ModelError, OSError):
        if not folder.is_dir():
            raise
    with lock_for_reading(folder):
        return read()


def read_folder(folder: Path, kind: str) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the verified data files of ``folder`` by name, and its ``info``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ModelError
        If it is of another kind or a newer format, or a file is absent or damaged; the message
        names the file.
    """
    manifest = _read_manifest_in(folder, kind)
    files = {}
    for name, entry in manifest["files"].items():
        path = folder / _data_name(folder, name, entry["sha256"])
        if not path.is_file():
            raise ModelError(f"{path} is missing: this {kind} is incomplete, {_remedy(kind)}")
        if path.stat().st_size != entry["bytes"]:
            raise ModelError(
                f"{path} has {path.stat().st_size} bytes instead of {entry['bytes']}: it is "
                f"damaged, {_remedy(kind)}"
            )
        if _hash_file(path) != entry["sha256"]:
            raise ModelError(
                f"{path} is damaged (its SHA-256 is not the one in {kind}.json), {_remedy(kind)}"
            )
        files[name] = path
    return files, manifest["info"]


def read_info(folder: Path, kind: str) -> dict[str, Any]:
    """Return the ``info`` of ``folder`` alone; errors are those of `read_folder`."""
    info: dict[str, Any] = _read_manifest_in(folder, kind)["info"]
    return info


def check_writable(folder: Path, kind: str) -> None:
    """Raise the error that `write_folder` would raise for ``folder`` now, without writing to it."""
    _check_replaceable(folder, kind)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise OSError(f"{folder} cannot be written: {error.strerror}") from error


def is_unborn(folder: Path) -> bool:
    """Whether ``folder`` is absent, or has at most files that a killed first write left there."""
    return not folder.exists() or (
        folder.is_dir() and all(_is_ours(path.name) for path in folder.iterdir())
    )


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays as safetensors; needs memory for a copy of them."""
    # Not save_file, whose temporary file would stay behind if the process is killed.
    check_room(f"writing {path}", _room(sum(array.nbytes for array in arrays.values())))
    with memory_errors():
        content = save(arrays)
    path.write_bytes(content)


def _room(n_bytes: int) -> int:
    # Where memory ends in its own code, safetensors may wait without end.
    return 3 * n_bytes + (8 << 20)


def read_arrays(path: Path, dtypes: Mapping[str, type[np.generic]]) -> dict[str, np.ndarray]:
    """Read exactly the named arrays, of the given dtypes, or raise ModelError."""
    check_room(f"reading {path}", _room(path.stat().st_size))
    try:
        with memory_errors():
            arrays: dict[str, np.ndarray] = load_file(path)
    # Its reader has no NumPy dtype for some of the types that a file may claim to have.
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a valid safetensors file: {error}") from error
    if arrays.keys() != dtypes.keys():
        raise ModelError(f"{path} must hold the arrays {sorted(dtypes)}, found {sorted(arrays)}")
    for name, array in arrays.items():
        if array.dtype != dtypes[name]:
            raise ModelError(
                f"{path}: {name} must be {np.dtype(dtypes[name])}, found {array.dtype}"
            )
    return arrays


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value; strings that are not valid Unicode are kept as escapes."""
    path.write_text(json.dumps(value, allow_nan=False) + "\n", encoding="ascii")


def read_json(path: Path) -> Any:
    """Read a JSON value, or raise ModelError."""
    try:
        return json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error


def _finite(text: str) -> float:
    """Return a number of a JSON file; Python also reads NaN and 1e999, which JSON does not have."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _write_data_file(folder: Path, name: str, write: Writer) -> dict[str, Any]:
    """Write one data file under its final name and return its entry in the manifest."""
    temporary = _temporary(folder, name)
    write(temporary)
    _sync(temporary)
    digest = _hash_file(temporary)
    size = temporary.stat().st_size
    os.replace(temporary, folder / _data_name(folder, name, digest))
    return {"bytes": size, "sha256": digest}


def _temporary(folder: Path, name: str) -> Path:
    """Return a name that no other process has, for a file that is to become ``name``."""
    return folder / f".tmp-{secrets.token_hex(8)}-{name}"


def _read_manifest_in(folder: Path, kind: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no {kind} folder at {folder}")
    return _read_manifest(folder, kind)


def _read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    path = folder / f"{kind}.json"
    if path.is_symlink():
        raise ModelError(f"{path} is a link; a {kind} folder holds its own files: copy the whole")
    if not path.is_file():
        if (folder / IN_PARTS).is_file():
            raise ModelError(
                f"{folder} holds a model whose users are in parts: open it with "
                "cml_fast.distributed.PartitionedModel.open, which recommends and exports; "
                "cml-fast export takes it, too"
            )
        raise ModelError(
            f"{folder} is not a {kind} folder, or saving it was interrupted: it has no {path.name}"
        )
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelError(f"{path} was not written by {FORMAT}")
    version = manifest.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"{path} has format {version}; this release of {FORMAT} reads up to "
            f"{FORMAT_VERSION}: upgrade {FORMAT}"
        )
    body = {key: manifest.get(key) for key in ("kind", "info", "files")}
    if (
        version != FORMAT_VERSION
        or manifest.get("checksum") != _checksum(body)
        or body["kind"] != kind
    ):
        raise ModelError(f"{path} is damaged or was edited by hand, {_remedy(kind)}")
    # Checked although the checksum is right: someone may have edited both.
    if not isinstance(body["info"], dict) or not _is_file_list(body["files"]):
        raise ModelError(f"{path} has the wrong structure, {_remedy(kind)}")
    return manifest


def _remedy(kind: str) -> str:
    return _REMEDIES.get(kind, f"save the {kind} again")


def _is_file_list(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
        for entry in files.values()
    )


def _check_replaceable(folder: Path, kind: str) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder: give another path")
    if os.path.lexists(folder / f"{kind}.json"):
        _read_manifest(folder, kind)
        return
    names = [entry.name for entry in folder.iterdir()]
    # Another process may have written the manifest since.
    foreign = [name for name in names if not _is_ours(name) and name != f"{kind}.json"]
    if foreign:
        raise FileExistsError(
            f"{folder} holds {foreign[0]!r} and is not a {kind} folder: give an empty or a new one"
        )


def _remove_unlisted(folder: Path, kind: str) -> None:
    """Remove data files that the manifest does not list, and temporary files."""
    listed = set()
    if (folder / f"{kind}.json").exists():
        entries = _read_manifest(folder, kind)["files"]
        listed = {_data_name(folder, name, entry["sha256"]) for name, entry in entries.items()}
    for path in list(folder.iterdir()):
        if _is_ours(path.name) and path.name not in listed:
            path.unlink()


def _is_ours(name: str) -> bool:
    return bool(_DATA_FILE.fullmatch(name) or _TEMPORARY.fullmatch(name))


def _data_name(folder: Path, name: str, digest: str) -> str:
    stem, _, suffix = name.partition(".")
    data_name = f"{stem}-{digest[:16]}.{suffix}"
    # This also keeps an edited manifest from naming a file outside of its folder.
    if not _DATA_FILE.fullmatch(data_name):
        raise ModelError(f"{folder}: the manifest lists {name!r}, not the name of a data file")
    return data_name


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Force the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
