"""One file that is written in one step: all of it is there, or what was there before."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def check_free(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if ``path`` is a folder, or a file that may not be replaced."""
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: give the path of a file")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: replace it with overwrite=True")


def check_folder(path: Path) -> None:
    """Raise OSError if a file cannot be created beside ``path`` now."""
    probe = _temporary(path)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _explained(path, error) from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file, in one step.

    Raises
    ------
    OSError
        If that fails, for instance for lack of space; what was at ``path`` is still there.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _explained(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _explained(path: Path, error: OSError) -> OSError:
    """Return the same error as one sentence about the file that was asked for."""
    reason = error.strerror
    if not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"
    found = type(error)(f"{path} cannot be written: {reason}")
    found.errno = error.errno  # set now, it is not put before the sentence
    return found
