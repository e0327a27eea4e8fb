"""One file with named arrays: written in one step, read without trust in what it says.

The file is a zip archive of ``.npy`` members like those of `numpy.savez`, not compressed. So a
member cannot hold more than the file, and its size is known before anything is allocated. Nothing
is pickled.
"""

from __future__ import annotations

import os
import secrets
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import DataError

_SUFFIX = ".npy"
# What numpy and the standard library raise for files that are damaged or not archives.
_FILE_ERRORS = (
    *(OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
    *(ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, tokenize.TokenError),
)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, none of objects, as one file; an old file stays whole until the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            _write_archive(file, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        # Writing to an open file does not say which one it was, and this one was asked for.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is no such archive, or damaged.
    """
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                return {
                    member.filename.removesuffix(_SUFFIX): _read_member(archive, member, n_bytes)
                    for member in archive.infolist()
                }
        except _FILE_ERRORS as error:
            raise DataError(
                f"{path} is damaged, or Interactions.save did not write it: {error}"
            ) from error


def _write_archive(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    # Not numpy.savez, which pickles objects unless NumPy is new enough to be told not to.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, n_bytes: int) -> np.ndarray:
    """Return the array of a member in an archive of ``n_bytes``."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as file:
        shape, dtype = _read_header(file)
        wanted = int(np.prod([dtype.itemsize, *shape], dtype=object))
        if wanted != member.file_size - file.tell() or member.file_size > n_bytes:
            raise ValueError(
                f"{member.filename} has {member.file_size} bytes, too few or too many for "
                f"{dtype} with shape {shape}"
            )
        # Reading to the end makes zipfile compare the checksum.
        content = bytearray(file.read())  # not bytes, of which NumPy makes read-only arrays
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype that a member claims to have; nothing is allocated for them."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"unknown version {version} of the array format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran or dtype.hasobject or min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise ValueError(f"an array of {dtype} with shape {shape} is not expected here")
    return shape, dtype
