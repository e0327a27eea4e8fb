"""How much memory is free, and a refusal before more than that is asked for."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ._cgroups import folders_of

# Needs below this are not worth a look at what is free.
SMALL = 256 << 20
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
SYSTEM = Path("/")
# The most that objects of Python take for a line, besides what they take for each of its bytes:
# most in {"a":1}, and in a list of numbers of one digit.
_BYTES_FOR_A_LINE, _BYTES_FOR_A_BYTE = 512, 32


def check_memory(what: str, n_bytes: int, advice: str) -> None:
    """Raise MemoryError if something needs more memory than is free.

    Parameters
    ----------
    what : str
        The subject of the message: what needs the memory.
    n_bytes : int
        How much it needs.
    advice : str
        What to do instead.
    """
    if n_bytes < SMALL:
        return
    free = free_bytes(SYSTEM)
    if free is not None and n_bytes > free:
        raise MemoryError(
            f"{what} would need {readable(n_bytes)} of memory, and {readable(free)} are free; "
            f"{advice}"
        )


def check_room(what: str, n_bytes: int) -> None:
    """Raise MemoryError unless the process may map so many further bytes, at most.

    For libraries that end the process where there is no memory. Nothing of it is used.

    Parameters
    ----------
    what : str
        The subject of the message: what may need the memory.
    n_bytes : int
    """
    try:
        # The system does not reserve memory for what cannot be written.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        mmap.mmap(-1, max(1, n_bytes), flags=flags, prot=mmap.PROT_READ).close()
    except (OSError, OverflowError) as error:
        raise MemoryError(
            f"{what} may need up to {readable(n_bytes)} of address space, and the system does not "
            "give so much; let this process have more"
        ) from error


def check_room_for_lines(name: str, n_lines: int, n_bytes: int) -> None:
    """Raise MemoryError unless there is room for what Python makes of the lines of a file.

    Where not even an integer finds room any more, Python 3.11 to 3.13 may raise the MemoryError
    without end (https://github.com/python/cpython/issues/132508). So whoever makes many small
    objects of a file looks for room before.

    Parameters
    ----------
    name : str
        Of the file.
    n_lines, n_bytes : int
        How many lines there are, and how many bytes all of them have.
    """
    needed = n_lines * _BYTES_FOR_A_LINE + n_bytes * _BYTES_FOR_A_BYTE
    check_room(f"{name}, read line by line,", needed)


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for what other libraries raise where there is no memory."""
    try:
        yield
    except BaseException as error:
        text, is_vague = str(error), isinstance(error, (RuntimeError, ValueError))
        no_memory = is_vague and re.search("(out of|enough) memory", text, re.IGNORECASE)
        no_thread = isinstance(error, RuntimeError) and os.strerror(errno.EAGAIN) in text
        # The last is how Rust code ends when Python could not make an object for it.
        if no_memory or no_thread or type(error).__name__ == "PanicException":
            raise MemoryError(text) from error
        raise


def free_bytes(root: Path) -> int | None:
    """Return how much memory this process may still take; None where that cannot be known.

    That is the least of what the system has (swap included), what the cgroups of the process leave,
    and what the limit of its address space (``RLIMIT_AS``) leaves.

    Parameters
    ----------
    root : path
        The folder with ``proc`` and ``sys``.
    """
    found = [*_of_system(root), *_of_cgroups(root), *_of_address_space(root)]
    return max(0, min(found)) if found else None


def readable(n_bytes: int) -> str:
    """Return a size as people read it, such as "16 GB"; a GB is 10^9 bytes."""
    size, unit = float(n_bytes), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}"


def _of_system(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) << 10 for name, rest in (s.split(":") for s in lines)}
        yield sizes["MemAvailable"] + sizes.get("SwapFree", 0)


def _of_cgroups(root: Path) -> Iterator[int]:
    for version, folder in folders_of(root, "memory"):
        with contextlib.suppress(OSError, ValueError, LookupError):
            read = _left_v2 if version == 2 else _left_v1
            left = read(folder)
            if left is not None:
                yield left


def _left_v2(folder: Path) -> int | None:
    limit = (folder / "memory.max").read_text().strip()
    if limit == "max":
        return None
    used = int((folder / "memory.current").read_text())
    return int(limit) - used + _statistics(folder)["inactive_file"]


def _left_v1(folder: Path) -> int:
    limit = int((folder / "memory.limit_in_bytes").read_text())  # without a limit it is huge
    used = int((folder / "memory.usage_in_bytes").read_text())
    return limit - used + _statistics(folder)["total_inactive_file"]


def _statistics(folder: Path) -> dict[str, int]:
    """Read what a group uses its memory for; the kernel gives inactive files back when needed."""
    lines = (folder / "memory.stat").read_text().splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def _of_address_space(root: Path) -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    with contextlib.suppress(OSError, ValueError):
        pages = int((root / "proc/self/statm").read_text().split()[0])
        yield limit - pages * os.sysconf("SC_PAGE_SIZE")
