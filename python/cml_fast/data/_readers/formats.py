"""The registry of file formats: how one is chosen, which options it refuses, and reading by it.

A new format is a module here that defines a `Format`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import (
    adjacency,
    amazon,
    citeulike,
    data_sets,
    delimited,
    genres,
    jsonl,
    movielens,
    netflix,
    npz,
    parquet,
    recbole,
)
from .delimited import TABLE_OPTIONS
from .files import Source, sources
from .pairs import FEATURES, Format, PairKind, Pairs
from .report import Tally

if TYPE_CHECKING:
    from .builder import PairBuilder, Rules

FORMATS: tuple[Format, ...] = (
    delimited.CSV,
    delimited.TSV,
    parquet.PARQUET,
    jsonl.JSONL,
    movielens.RATINGS,
    movielens.FEATURES_OF_BOTH,
    genres.GENRES,
    recbole.LIKES,
    recbole.TAGS,
    data_sets.BOOKS_READ,
    data_sets.BOOKS,
    data_sets.PLAYS,
    data_sets.TAGGED_ARTISTS,
    amazon.AMAZON,
    data_sets.STEAM,
    data_sets.RETAILROCKET,
    netflix.NETFLIX,
    adjacency.ADJACENCY,
    citeulike.USERS,
    citeulike.TAGS,
    npz.NPZ,
)


def formats_of(kind: PairKind) -> dict[str, Format]:
    """Return the formats by name in which there are pairs of this kind."""
    return {format.name: format for format in FORMATS if kind in format.kinds}


def read_pairs(
    source: Any, kind: PairKind, format: str, options: Mapping[str, Any], tally: Tally
) -> tuple[str, Pairs]:
    """Read files in a format, which may be "auto", or a data frame.

    ``options`` are those that the caller gave. Returns a name for what was read, and its pairs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it cannot be read.
    ValueError, TypeError
        If there is no such format, or if an option is wrong or not one of the format's.
    """
    from .builder import PairBuilder  # only now, because pyarrow is slow to load
    from .tables import is_frame, read_frame

    reader = PairReader(kind, format, options, tally, PairBuilder)
    if is_frame(source):
        name = "the data frame"
        _check_options(name, TABLE_OPTIONS, kind, options)
        read_frame(name, source, reader.columns, reader.builder)
        return name, reader.builder.finish(name)
    names = []
    for one in sources(source):
        names.append(one.name)
        reader.read(one)
    name = name_of_all(names)
    return name, reader.builder.finish(name)


def name_of_all(names: Sequence[str]) -> str:
    """Return one name for several files, for messages."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


class PairReader:
    """Reads files in a format, which may be "auto", one after the other.

    Attributes
    ----------
    builder : PairBuilder
        Of the given class; it gets what is in the files.
    columns : dict
        The options of the formats, with the columns that filter.
    """

    def __init__(
        self,
        kind: PairKind,
        format: str,
        options: Mapping[str, Any],
        tally: Tally,
        make_builder: Callable[[PairKind, Rules, Tally], PairBuilder],
    ) -> None:
        if format != "auto" and format not in formats_of(kind):
            raise ValueError(
                f"format must be auto or one of {', '.join(formats_of(kind))}, got {format!r}"
            )
        from .builder import Rules  # only now, because pyarrow is slow to load
        from .tables import filter_roles

        columns, where = filter_roles(options.get("where"))
        self._missing = frozenset(options.get("missing", ()))
        rules = Rules(
            options.get("min_rating"), where, self._missing, tags_may_be_missing=kind is FEATURES
        )
        self.builder = make_builder(kind, rules, tally)
        of_reader = {
            name: value
            for name, value in options.items()
            if name not in ("min_rating", "where", "missing")
        }
        self.columns = {**columns, **of_reader}
        self._kind, self._format, self._options = kind, format, options

    def read(self, source: Source) -> None:
        """Add what is in a file to the builder."""
        chosen = formats_of(self._kind).get(self._format) or _recognise(source, self._kind)
        _check_options(chosen.name, chosen.options, self._kind, self._options)
        self.builder.missing = self._missing | set(chosen.missing)
        chosen.read(source, self.builder, **self.columns)


def _recognise(source: Source, kind: PairKind) -> Format:
    """Return the format that the name of a file and its first line tell."""
    formats = formats_of(kind)
    possible = [row for row in formats.values() if source.extension in row.extensions]
    for format in sorted(possible, key=lambda format: format.sniff is None):
        if format.sniff is None or format.sniff(source.first_line()):
            return format
    raise ValueError(
        f"{source.name} does not tell its format by its name; pass format= one of "
        f"{', '.join(formats)}"
    )


def _check_options(
    name: str, options: tuple[str, ...], kind: PairKind, given: Mapping[str, Any]
) -> None:
    """Refuse options that would have no effect, and say which formats they belong to."""
    refused = []
    for option in given:
        if option not in options:
            takers = [row.name for row in formats_of(kind).values() if option in row.options]
            refused.append(f"{option} is an option of {', '.join(takers)}, not of {name}")
    if refused:
        raise ValueError(f"{'; '.join(refused)}; leave it out")
