"""The registry of file formats: how one is chosen, which options it refuses, and reading by it.

A new format is a module here that defines a `Format`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import adjacency, citeulike, delimited, genres, movielens, npz, parquet
from .files import check_not_empty, extension, first_line, reading
from .pairs import Format, PairKind, Pairs

FORMATS: tuple[Format, ...] = (
    delimited.CSV,
    delimited.TSV,
    parquet.PARQUET,
    movielens.MOVIELENS,
    genres.GENRES,
    adjacency.ADJACENCY,
    citeulike.USERS,
    citeulike.TAGS,
    npz.NPZ,
)
# Of the options that are not None by default, what stands for "not given".
_DEFAULTS = {"header": True, "count_as_item": False}


def formats_of(kind: PairKind) -> dict[str, Format]:
    """Return the formats by name in which there are pairs of this kind."""
    return {format.name: format for format in FORMATS if kind in format.kinds}


def read_pairs(path: Path, kind: PairKind, name: str, options: Mapping[str, Any]) -> Pairs:
    """Read a file in the format ``name``, which may be "auto".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If the file cannot be read.
    ValueError, TypeError
        If there is no such format, or if an option is wrong or not one of the format's.
    """
    check_not_empty(path)
    format = _choose(path, kind, name)
    given = {option: value for option, value in options.items() if value != _DEFAULTS.get(option)}
    _check_options(format, kind, given)
    with reading(path, format.name):
        return format.read(path, kind, **given)


def _choose(path: Path, kind: PairKind, name: str) -> Format:
    """Return the format asked for; for "auto", the one that the file's name and content tell."""
    formats = formats_of(kind)
    if name in formats:
        return formats[name]
    choices = f"one of {', '.join(formats)}"
    if name != "auto":
        raise ValueError(f"format must be auto or {choices}, got {name!r}")
    possible = [format for format in formats.values() if extension(path) in format.extensions]
    for format in sorted(possible, key=lambda format: format.sniff is None):
        if format.sniff is None or format.sniff(first_line(path)):
            return format
    raise ValueError(f"{path} does not tell its format by its name; pass format= {choices}")


def _check_options(format: Format, kind: PairKind, given: Mapping[str, Any]) -> None:
    """Refuse options that would have no effect, and say which formats they belong to."""
    refused = []
    for option in given:
        if option not in format.options:
            takers = [row.name for row in formats_of(kind).values() if option in row.options]
            refused.append(f"{option} is an option of {', '.join(takers)}, not of {format.name}")
    if refused:
        raise ValueError(f"{'; '.join(refused)}; leave it out")
