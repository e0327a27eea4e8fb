"""Opening what is to be read: once, whatever it is, and unpacked.

A source may be a pipe, which cannot be read twice: whoever wants to know how a file begins looks at
`Source.head`, and reads on from there.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import glob
import gzip
import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple

from ...errors import DataError

# How much of a file `Source.head` shows.
HEAD_BYTES = 1 << 16
# What pyarrow says; the error has no type of its own.
NO_THREAD = "Failed to launch worker thread"
# What libraries raise for files that are damaged, truncated or encrypted.
_FILE_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
)
# The same for zip files that are encrypted, or whose list of files is damaged.
ZIP_ERRORS = (*_FILE_ERRORS, RuntimeError, ValueError, LookupError, ArithmeticError, struct.error)


class Compression(NamedTuple):
    """A kind of compression: the extensions of its files, how they begin, and how to read them."""

    suffixes: tuple[str, ...]
    magic: re.Pattern[bytes]
    open: Callable[[Any], Any]


def _open_zstd(file: Any) -> Any:
    import pyarrow as pa  # only now, because it is slow to load

    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")


COMPRESSIONS = (
    Compression((".gz", ".gzip"), re.compile(rb"\x1f\x8b"), gzip.open),
    Compression((".bz2",), re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), bz2.open),
    Compression((".xz",), re.compile(rb"\xfd7zXZ\x00"), lzma.open),
    Compression((".zst", ".zstd"), re.compile(rb"\x28\xb5\x2f\xfd"), _open_zstd),
)
_ZIP_SUFFIX, _ZIP_MAGIC = ".zip", b"PK\x03\x04"
_LONGEST_MAGIC = 10
# A message names at most this many files.
_NAMED = 5
_PACKED = {suffix for row in COMPRESSIONS for suffix in row.suffixes} | {_ZIP_SUFFIX}


class Source:
    """A file that is read once, from begin to end.

    Attributes
    ----------
    name : str
        For error messages.
    extension : str
        Of the unpacked file, in lower case, such as ".csv"; may be empty.
    columns : dict of str to str
        Values that hold for all rows, from folders such as ``year=2024``.
    """

    def __init__(
        self,
        name: str,
        file: IO[bytes],
        columns: dict[str, str] | None = None,
        *,
        is_borrowed: bool = False,
    ) -> None:
        self.name, self.columns = name, columns or {}
        self._raw, self._is_borrowed = file, is_borrowed
        try:
            with self.reading("a file"):
                self._unpacked, inner = _unpack(name, file)
                self._head: bytes = _read_up_to(self._unpacked, HEAD_BYTES)
            self.extension = extension(inner)
            if not self._head:
                raise DataError(f"{name} is empty")
        except BaseException:
            self.close()
            raise

    @property
    def head(self) -> bytes:
        """The first bytes, at most HEAD_BYTES; they are not read by looking at them."""
        return self._head

    def first_line(self) -> bytes:
        """Return the first line, as far as it is in the head."""
        return self._head.split(b"\n", 1)[0]

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the bytes of the file, at most ``size`` at a time; only once."""
        head, self._head = self._head, b""
        if head:
            yield head
        while True:
            with self.reading("a file"):
                chunk = _read_up_to(self._unpacked, size)
            if not chunk:
                return
            yield chunk

    def read(self) -> bytes:
        """Return the whole file; only once."""
        return b"".join(self.chunks(1 << 20))

    def seekable(self) -> IO[bytes]:
        """Return a file that can be read from any place: itself, or its content in memory."""
        is_plain = isinstance(getattr(self._unpacked, "raw", None), _Rewound)
        if is_plain and isinstance(self._raw, io.BufferedReader) and self._raw.seekable():
            self._raw.seek(0)
            return self._raw
        return io.BytesIO(self.read())

    @contextlib.contextmanager
    def reading(
        self, what: str, errors: tuple[type[Exception], ...] = _FILE_ERRORS
    ) -> Iterator[None]:
        """Turn ``errors`` of a block that reads the file into a DataError that names it."""
        try:
            yield
        except MemoryError:
            raise
        except errors as error:
            if NO_THREAD in str(error):
                reason = "cannot be read, no thread can be started for it"
                raise OSError(errno.EAGAIN, reason, self.name) from error
            raise DataError(f"{self.name} cannot be read as {what}: {error}") from error

    def close(self) -> None:
        """Close the file, unless it is somebody else's."""
        if not self._is_borrowed:
            self._raw.close()


def extension(name: str) -> str:
    """Return the extension in lower case, without that of compression."""
    path = PurePath(name)
    while path.suffix.lower() in _PACKED:
        path = path.with_suffix("")
    return path.suffix.lower()


def sources(source: Any) -> Iterator[Source]:
    """Yield what is to be read: one file, the files of a folder or pattern, bytes, an open file.

    Each is closed when the next one is asked for.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no file in a folder or of a pattern.
    DataError
        If a file is empty or cannot be unpacked.
    TypeError
        If it is nothing that can be read.
    """
    for opened in _opened(source):
        try:
            yield opened
        finally:
            opened.close()


def _opened(source: Any) -> Iterator[Source]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield Source("the bytes", io.BytesIO(bytes(source)))
    elif isinstance(source, str | os.PathLike):
        for path, columns in _paths(os.fspath(source)):
            yield Source(path, _open_path(path), columns)
    elif hasattr(source, "read"):
        yield Source(_name_of(source), _as_binary(source), is_borrowed=True)
    elif isinstance(source, list | tuple) and source:
        for one in source:
            yield from _opened(one)
    else:
        raise TypeError(
            "source must be a path, several of them, an open file, bytes or a data frame, got "
            f"{type(source).__name__}; arrays of ids are for Interactions.from_arrays"
        )


def _paths(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the files that a path, a pattern or a folder stands for, and the values in its names.

    Spark and DuckDB write folders of files, among them some that begin with ``_`` or ``.`` and
    hold no data, and folders such as ``year=2024`` for a column that is not in the files.
    """
    if "://" in path or not os.path.isdir(path):
        is_pattern = any(sign in path for sign in "*?[") and not os.path.exists(path)
        if "://" in path or not is_pattern:
            yield path, {}
            return
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise FileNotFoundError(f"no file matches {path}")
        for one in found:
            yield from _paths(one)
        return
    folder = Path(path)
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(part[0] in "._" for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise FileNotFoundError(f"{path} is a folder without a file to read")
    for file in files:
        folders = file.relative_to(folder).parts[:-1]
        yield str(file), dict(part.split("=", 1) for part in folders if "=" in part)


def _open_path(path: str) -> IO[bytes]:
    if "://" not in path:
        return open(path, "rb")
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(
            f"{path} is not a local file: to read it, pip install 'cml-fast[remote]'"
        ) from error
    try:
        return fsspec.open(path, "rb").open()  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise
    except Exception as error:  # every protocol has exceptions of its own
        raise DataError(f"{path} cannot be opened: {error}") from error


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the open file"


def _as_binary(file: Any) -> IO[bytes]:
    if isinstance(file, io.StringIO):
        return io.BytesIO(file.read().encode())
    return getattr(file, "buffer", file)  # type: ignore[no-any-return]  # of a text file


def _read_up_to(file: IO[bytes], size: int) -> bytes:
    """Read from a file that may give less than it is asked for, as pipes do."""
    parts, missing = [], size
    while missing and (part := file.read(missing)):
        if not isinstance(part, bytes):
            raise TypeError(f"source must be open in binary mode, it reads {type(part).__name__}")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class _Rewound(io.RawIOBase):
    """A file whose first bytes were read, from its begin."""

    def __init__(self, begin: bytes, file: IO[bytes]) -> None:
        self._begin, self._file = begin, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._begin[: len(buffer)] or self._file.read(len(buffer))
        self._begin = self._begin[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _unpack(name: str, file: IO[bytes]) -> tuple[IO[bytes], str]:
    """Return the unpacked file, and its name. What is packed is known by its first bytes."""
    magic = _read_up_to(file, _LONGEST_MAGIC)
    whole = io.BufferedReader(_Rewound(magic, file), HEAD_BYTES)
    suffix = PurePath(name).suffix.lower()
    if magic.startswith(_ZIP_MAGIC) and suffix != ".npz":
        can_seek = isinstance(file, io.BufferedReader) and file.seekable()
        return _open_only_member(name, file if can_seek else io.BytesIO(whole.read()))
    for row in COMPRESSIONS:
        if row.magic.match(magic):
            return row.open(whole), name
        if magic and suffix in row.suffixes:
            raise DataError(f"{name} does not begin as a {suffix} file does")
    if magic and suffix == _ZIP_SUFFIX:
        raise DataError(f"{name} does not begin as a {suffix} file does")
    return whole, name


def _open_only_member(name: str, file: IO[bytes]) -> tuple[IO[bytes], str]:
    """Return the one file that is in a zip file; a matrix of scipy stays packed."""
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise DataError(f"{name} cannot be unpacked: {error}") from error
    members = [
        member
        for member in archive.namelist()
        if not member.endswith("/") and not member.startswith("__MACOSX/")
    ]
    if "indptr.npy" in members or "row.npy" in members:
        file.seek(0)
        return file, name
    if len(members) != 1:
        listed = ", ".join(members[:_NAMED]) or "none"
        raise DataError(
            f"{name} must have one file in it, it has {len(members)} ({listed}); unpack it, and "
            "give the file to read"
        )
    try:
        return archive.open(members[0]), members[0]
    except ZIP_ERRORS as error:
        raise DataError(f"{name} cannot be unpacked: {error}") from error
