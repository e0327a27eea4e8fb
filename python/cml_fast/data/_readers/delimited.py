"""Text tables: ``csv``, ``tsv``, and a way to name the tables of well-known data sets."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._validation.scalars import check_choice
from ...errors import DataError
from .files import Source
from .pairs import FEATURES, INTERACTIONS, SPARE_ITEM, UNUSED_RATING, Format, PairKind

if TYPE_CHECKING:
    from .builder import PairBuilder

COLUMN_OPTIONS = (
    *("user", "item", "rating", "weight", "timestamp"),
    *("id", "tag", "numbers", "separator"),
)
ROW_OPTIONS = ("min_rating", "where", "missing")
TEXT_OPTIONS = ("header", "quoting", "encoding")
TABLE_OPTIONS = (*COLUMN_OPTIONS, *ROW_OPTIONS)
QUOTING = ("minimal", "multiline", "backslash", "none")


def text_format(
    name: str,
    *,
    delimiter: str | None = None,
    quoting: str = "minimal",
    encoding: str = "utf-8",
    header: bool | None = None,
    columns: dict[str, str | int] | None = None,
    separator: str | None = None,
    missing: tuple[str, ...] = (),
    extensions: tuple[str, ...] = (),
    sniff: Callable[[bytes], bool] | None = None,
    kinds: tuple[PairKind, ...] = (INTERACTIONS, FEATURES),
) -> Format:
    """Describe a format that is a text table; the caller's options go before these values.

    Without a ``delimiter`` it is a comma, unless the caller names another one. A ``rating`` among
    the columns decides only if there is a ``min_rating``.
    """
    known = columns or {}
    own = {
        "delimiter": delimiter or ",",
        "quoting": quoting,
        "encoding": encoding,
        "header": header,
    }
    splits = {} if separator is None else {"separator": separator}

    def read(source: Source, builder: PairBuilder, **options: Any) -> None:
        has_names = options.get("header", header) is not False
        usable = {role: at for role, at in known.items() if has_names or isinstance(at, int)}
        read_delimited(source, builder, **{**own, **usable, **splits, **options})

    takes = ("delimiter", *TEXT_OPTIONS) if delimiter is None else TEXT_OPTIONS
    options = (*TABLE_OPTIONS, *takes)
    return Format(name, read, options, extensions, sniff, kinds, missing)


class Form(NamedTuple):
    """One of the files of a data set, which is known by its first line.

    Attributes
    ----------
    first_line : re.Pattern
    options : dict
        The arguments of `read_delimited`. Those that name columns which the file does not have are
        left out if they are a rating or a timestamp.
    """

    first_line: re.Pattern[bytes]
    options: dict[str, Any]


def known_tables(
    name: str,
    kind: PairKind,
    forms: tuple[Form, ...],
    *,
    files: str,
    extensions: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> Format:
    """Describe the tables of a data set; the caller's options go before those of a form.

    ``files`` says which files these are, for the message about another one.
    """

    def form_of(line: bytes) -> Form | None:
        line = line.removeprefix(b"\xef\xbb\xbf").strip(b" \r")
        return next((form for form in forms if form.first_line.fullmatch(line)), None)

    def read(source: Source, builder: PairBuilder, **options: Any) -> None:
        form = form_of(source.first_line())
        if form is None:
            raise DataError(
                f"{source.name} does not begin as {files} does; if it is another table, pass its "
                "format, such as format='csv'"
            )
        known = _without(form.options, source.first_line(), options)
        read_delimited(source, builder, **{**known, **options})

    return Format(
        name,
        read,
        (*TABLE_OPTIONS, *TEXT_OPTIONS),
        extensions,
        lambda line: form_of(line) is not None,
        (kind,),
        missing,
    )


def _without(known: dict[str, Any], line: bytes, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a form without what the file has not or the caller does not want."""
    names = known.get("names", ())
    in_file = names[: line.count(known.get("delimiter", ",").encode()) + 1]
    dropped = {role for role in ("rating", "timestamp") if names and known.get(role) not in in_file}
    if given.get("header"):
        dropped.add("names")
    if {"tag", "numbers"} & set(given):
        dropped |= {"tag", "numbers"}
    if "item" in given:
        dropped.add(SPARE_ITEM)
    options = {role: value for role, value in known.items() if role not in dropped}
    if "numbers" in options:
        options["numbers"] = [name for name in options["numbers"] if name in in_file]
    return options


def read_delimited(
    source: Source,
    builder: PairBuilder,
    *,
    delimiter: str = ",",
    quoting: str = "minimal",
    encoding: str = "utf-8",
    header: bool | None = None,
    names: tuple[str, ...] = (),
    **columns: Any,
) -> None:
    """Read a text table. ``names`` are those of columns that have none in the file."""
    from .tables import read_text  # only now, because pyarrow is slow to load
    from .text import Dialect

    _check_delimiter(delimiter)
    check_choice("quoting", quoting, QUOTING)
    check_encoding(encoding)
    if not builder.needs_rating and "rating" in columns:
        ratings = columns.pop("rating")
        if "weight" not in columns:
            columns[UNUSED_RATING] = ratings
    dialect = Dialect(delimiter, quoting, encoding)
    read_text(source, dialect, header, columns, builder, names)


def _check_delimiter(delimiter: str) -> None:
    if (
        not isinstance(delimiter, str)
        or not delimiter
        or not delimiter.isascii()
        or set(delimiter) & set('"\r\n\0')
    ):
        raise ValueError(
            f"delimiter must be ASCII text that stands between fields, got {delimiter!r}"
        )


def check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of text."""
    try:
        codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
        "\n".encode(encoding)
    except (LookupError, TypeError) as error:
        raise ValueError(
            f"encoding must be the name of a text encoding such as 'latin-1', got {encoding!r}"
        ) from error


CSV = text_format("csv", extensions=(".csv",))
TSV = text_format("tsv", delimiter="\t", quoting="none", extensions=(".tsv",))
