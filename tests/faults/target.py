"""What `fuzz` gives files to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """What is given files.

    Attributes
    ----------
    name : str
    seeds : tuple of bytes
        Files to begin with, most of them valid.
    run : function
        Reads one file. It raises whatever is not allowed to happen.
    words : tuple of bytes
        What the fuzzer puts into files, besides what it finds out.
    """

    name: str
    seeds: tuple[bytes, ...]
    run: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()
