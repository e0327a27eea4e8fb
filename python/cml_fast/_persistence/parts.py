"""A table of recommendations that is written in parts, and becomes one file at the end.

The parts of FILE are in the folder FILE.parts. Each of them appears under its name when it is
complete and on the disk, so that a call that was interrupted goes on after the last one. The file
appears in one step, when all parts have been joined; then the folder is removed. While they are
joined, both need space. One process at a time writes the parts of a file; another one is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from .._locks import lock_for_writing
from .folder import _sync

SETTINGS = "settings.json"
# Begins the names of files that are not complete.
TEMPORARY = "unfinished-"


class FileFormat(NamedTuple):
    """How tables are written to an open file, and how open parts become a whole."""

    write: Callable[[Any, IO[bytes]], None]
    join: Callable[[Sequence[Path], IO[bytes]], None]


def _write_parquet(table: Any, file: IO[bytes]) -> None:
    from pyarrow import parquet

    parquet.write_table(table, file)


def _join_parquet(parts: Sequence[Path], file: IO[bytes]) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(file, parquet.read_schema(parts[0])) as writer:
        for part in parts:
            with parquet.ParquetFile(part) as one:
                writer.write_table(one.read(use_threads=False))


def _write_csv(table: Any, file: IO[bytes]) -> None:
    from pyarrow import csv

    csv.write_csv(table, file)


def _join_csv(parts: Sequence[Path], file: IO[bytes]) -> None:
    for at, part in enumerate(parts):
        with part.open("rb") as lines:
            header = lines.readline()
            if at == 0:
                file.write(header)
            shutil.copyfileobj(lines, file)


def _write_jsonl(table: Any, file: IO[bytes]) -> None:
    for row in table.to_pylist():
        file.write(json.dumps(row).encode("ascii") + b"\n")


def _join_jsonl(parts: Sequence[Path], file: IO[bytes]) -> None:
    for part in parts:
        with part.open("rb") as lines:
            shutil.copyfileobj(lines, file)


FORMATS = {
    ".parquet": FileFormat(_write_parquet, _join_parquet),
    ".csv": FileFormat(_write_csv, _join_csv),
    ".jsonl": FileFormat(_write_jsonl, _join_jsonl),
}


class Parts:
    """The parts of one file.

    Parameters
    ----------
    out : pathlib.Path
        The file; its suffix is one of FORMATS.
    settings : dict of str to JSON values
        What the content depends on. Parts that were written with other settings are refused.
    n_parts : int
    overwrite : bool
        Whether a file that is there is replaced.

    Raises
    ------
    ValueError
        If the suffix is another one.
    FileNotFoundError, FileExistsError
        If the folder of the file is missing, the file is there and ``overwrite`` is False, or there
        are parts of something else.
    """

    def __init__(
        self, out: Path, settings: dict[str, Any], n_parts: int, *, overwrite: bool
    ) -> None:
        if out.suffix not in FORMATS:
            raise ValueError(f"out must end in one of {', '.join(FORMATS)}, got {str(out)!r}")
        if not out.parent.is_dir():
            raise FileNotFoundError(f"out: there is no folder {out.parent}, make it first")
        if out.is_dir():
            raise FileExistsError(f"{out} is a folder: give another path")
        self._out, self._settings = out, json.loads(json.dumps(settings))
        self._overwrite, self._is_joined = overwrite, False
        self._format = FORMATS[out.suffix]
        self.folder = out.with_name(f"{out.name}.parts")
        self._paths = [self.folder / f"part-{at:06d}{out.suffix}" for at in range(n_parts)]
        self._check_new()
        self._check_settings()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Let no other process write to this file meanwhile; parts are written and joined in this.

        Raises FileExistsError if another process writes it. A folder that has no parts at the end
        is removed.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock_for_writing(self.folder, wait=False))
            except BlockingIOError:
                raise FileExistsError(
                    f"{self._out} is being written by another process: wait until it has ended, "
                    "or give another path"
                ) from None
            # Again, because another process may have written since.
            self._check_new()
            is_begun = self._check_settings()
            try:
                for path in self.folder.glob(f"{TEMPORARY}*"):
                    path.unlink()  # left by a process that was killed
                if not is_begun:
                    text = json.dumps(self._settings, indent=1).encode("ascii")
                    with self._explained():
                        self._write(self.folder / SETTINGS, lambda file: file.write(text))
                yield
            finally:
                # Joined parts are gone, and the name may be another process's by now.
                if not self._is_joined:
                    with contextlib.suppress(OSError):
                        if all(path.name == SETTINGS for path in self.folder.iterdir()):
                            self._remove()

    def missing(self) -> list[int]:
        """Return the numbers of the parts that are not there yet."""
        return [at for at, path in enumerate(self._paths) if not path.exists()]

    def path(self, at: int) -> Path:
        """Where a part is. Who writes it there, and not by `write`, must do so in one step."""
        return self._paths[at]

    def in_turn(self, n: int, size: int, progress: bool) -> Iterator[int]:
        """Yield the missing parts, each when the one before is written, and show a bar if asked to.

        The parts have ``size`` users each, the last one fewer, ``n`` in all.
        """
        missing = self.missing()
        if not progress:
            yield from missing
            return
        from tqdm import tqdm  # only now, because it is slow to load

        left = sum(min(size, n - at * size) for at in missing)
        with tqdm(total=n, initial=n - left, unit="user", desc="recommending") as bar:
            for at in missing:
                yield at
                bar.update(min(size, n - at * size))

    def write(self, at: int, table: Any) -> None:
        """Write one part, a pyarrow Table."""
        with self._explained():
            self._write(self._paths[at], lambda file: self._format.write(table, file))

    def join(self) -> None:
        """Make the file of the parts, and remove these."""
        with self._explained():
            self._write(self._out, lambda file: self._format.join(self._paths, file))
        self._remove()
        self._is_joined = True

    def _remove(self) -> None:
        # The settings last: parts without them would not be known as ours after an interruption.
        for path in (*self._paths, self.folder / SETTINGS):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _write(self, path: Path, write: Callable[[IO[bytes]], Any]) -> None:
        temporary = self.folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                write(file)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in an error of the disk what is kept, and how to go on."""
        try:
            yield
        except OSError as error:
            n_done = len(self._paths) - len(self.missing())
            reason = error.strerror or str(error)
            kept = f"{n_done} of {len(self._paths)} parts are kept in {self.folder}"
            advice = "the same call goes on from there"
            raise OSError(error.errno, f"{reason}; {kept}, {advice}", str(self._out)) from error

    def _check_new(self) -> None:
        if self._out.exists() and not self._overwrite:
            raise FileExistsError(
                f"{self._out} exists: give another path, or replace it with overwrite=True"
            )

    def _check_settings(self) -> bool:
        """Return whether parts of these settings are begun; FileExistsError if others are."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            names = [self.folder.name]
        if all(name.startswith(TEMPORARY) for name in names):
            return False  # at most what a first write left that was killed
        try:
            found = json.loads((self.folder / SETTINGS).read_bytes())
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise FileExistsError(
                f"{self.folder} does not hold parts of {self._out.name}: move it away, or give "
                "another path"
            )
        for name, value in self._settings.items():
            if found.get(name) != value:
                raise FileExistsError(
                    f"{self.folder} has parts that were made with another {name}: remove it to "
                    "begin anew, or give the same arguments to go on"
                )
        return True
