"""Text tables: ``csv``, ``tsv``, and a way to name the tables of well-known data sets."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..._validation.scalars import check_choice
from .files import Source
from .pairs import FEATURES, INTERACTIONS, UNUSED_RATING, Format, PairKind

if TYPE_CHECKING:
    from .builder import PairBuilder

COLUMN_OPTIONS = ("user", "item", "rating", "weight", "timestamp", "id", "tag")
ROW_OPTIONS = ("min_rating", "where", "missing")
TEXT_OPTIONS = ("header", "quoting", "encoding")
TABLE_OPTIONS = (*COLUMN_OPTIONS, *ROW_OPTIONS)
QUOTING = ("minimal", "multiline", "none")


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
    options = (*TABLE_OPTIONS, *takes, *splits)
    return Format(name, read, options, extensions, sniff, kinds, missing)


def read_delimited(
    source: Source,
    builder: PairBuilder,
    *,
    delimiter: str = ",",
    quoting: str = "minimal",
    encoding: str = "utf-8",
    header: bool | None = None,
    separator: str | None = None,
    **columns: Any,
) -> None:
    """Read a text table."""
    from .tables import read_text  # only now, because pyarrow is slow to load
    from .text import Dialect

    _check_delimiter(delimiter)
    check_choice("quoting", quoting, QUOTING)
    _check_encoding(encoding)
    if separator is not None and not (isinstance(separator, str) and separator):
        raise ValueError(f"separator must be text that stands between tags, got {separator!r}")
    if not builder.needs_rating and "rating" in columns:
        ratings = columns.pop("rating")
        if "weight" not in columns:
            columns[UNUSED_RATING] = ratings
    dialect = Dialect(delimiter, quoting, encoding)
    read_text(source, dialect, header, columns, builder, separator)


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


def _check_encoding(encoding: str) -> None:
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
