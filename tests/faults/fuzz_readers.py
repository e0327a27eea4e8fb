"""What `fuzz` gives to the readers of data.

The first byte of an input chooses the options, so that they are changed as the files are.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cml_fast.data import Interactions, load_features, load_interactions
from cml_fast.errors import DataError

from ..data import test_any_bytes, test_data_sets
from .target import Target

LOADERS: dict[str, Callable[..., Any]] = {
    "interactions": load_interactions,
    "features": load_features,
}
SEPARATORS = (b"::", b":", b"|", b",", b";", b"\t", b'"', b'""', b"\\", b"\n", b"\r\n", b"\r", b" ")
ODD = (b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\x1f", b"\xc2\x85")
NUMBERS = (b"9" * 18, b"9" * 20, b"2147483646", b"1e999", b"nan", b"-1", b"0.5", b"1e308")
WORDS = (*SEPARATORS, *ODD, *NUMBERS, b"user", b"item", b"2024-01-31", b"NULL", b"true")
TABLE = b'user,item,id,tag,w,t\n1,a,3,x|y,2,5\n2,"b",4,,1.5,2024-01-31\n\n1,c,5,z,0,7\n'
TABLE_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "interactions": [
        {},
        {"on_bad_lines": "skip", "weight": "w", "timestamp": "t"},
        {"header": False, "user": 0, "item": 1},
        {"quoting": "multiline", "where": {"tag": ["x", ""]}},
        {"quoting": "backslash", "rating": "w", "min_rating": 1},
        {"delimiter": "::", "header": False, "on_bad_lines": "skip", "quoting": "none"},
        {"delimiter": "::", "header": False},
        {"encoding": "utf-16"},
        {"encoding": "latin-1", "delimiter": ";", "missing": ["NULL"]},
    ],
    "features": [
        {},
        {"on_bad_lines": "skip", "weight": "w"},
        {"tag": ["tag", "user"], "numbers": ["w"], "separator": "|"},
        {"header": False, "id": 0, "tag": 1, "on_bad_lines": "skip"},
        {"delimiter": "::", "header": False, "separator": {1: "|"}},
        {"quoting": "multiline", "numbers": ["w"]},
    ],
}


def _guarded(name: str, read: Callable[[], Any]) -> None:
    """Read, which succeeds or raises a DataError that begins with the name of what is read."""
    try:
        read()
    except DataError as error:
        if not str(error).startswith(name):
            raise AssertionError(f"the message does not name {name}") from error


def _reader(
    kind: str, format: str, files: Sequence[bytes], options: Sequence[dict[str, Any]], *words: bytes
) -> Target:
    load = LOADERS[kind]

    def run(data: bytes) -> None:
        chosen = options[data[0] % len(options)] if data else {}
        _guarded("the bytes", lambda: load(data[1:], format=format, **chosen))

    seeds = [bytes([at]) + file for file in files for at in range(len(options))]
    return Target(f"{format}-{kind}", tuple(seeds), run, (*words, *WORDS))


def _of_data_sets() -> Iterator[Target]:
    """Yield the formats of data sets, with the files and options of their tests."""
    for kind, rows in (("interactions", test_data_sets.LIKES), ("features", test_data_sets.TAGS)):
        for format in dict.fromkeys(row[1] for row in rows):
            chosen = [row[2:4] for row in rows if row[1] == format]
            options = [{}, {"on_bad_lines": "skip"}, *(given for _, given in chosen if given)]
            if format != "jsonl":
                yield _reader(kind, format, [content for content, _ in chosen], options)


def _of_any_bytes() -> Iterator[Target]:
    for format, kind in test_any_bytes.CASES:
        files, words = test_any_bytes.FILES[format]
        if (format, kind) != ("netflix", "interactions"):
            yield _reader(kind, format, files, test_any_bytes.options_of(format, kind), *words)


def _tables() -> Iterator[Target]:
    double = b"1::a::3::x|y\n2::b: c::4::\n3::d:::5::z\n"
    wide = TABLE.decode().encode("utf-16")
    for kind, options in TABLE_OPTIONS.items():
        yield _reader(kind, "csv", (TABLE, double, wide), options)
        tabs = [given for given in options if not {"delimiter", "quoting"} & set(given)]
        yield _reader(kind, "tsv", (TABLE.replace(b",", b"\t"),), tabs)
    genres = b'id,title,genres\n1,Toy,Animation|Comedy\n2,"x, y",\n'
    yield _reader("features", "genres", (genres,), [{}, {"on_bad_lines": "skip"}])


def _packed() -> Iterator[Target]:
    """Yield files within files, known by their first bytes."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("likes.csv", TABLE)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("likes.csv", TABLE)
    zstd = pa.compress(TABLE, "zstd", asbytes=True)
    seeds = {
        "gzip": (gzip.compress(TABLE, mtime=0), gzip.compress(b"", mtime=0)),
        "bzip2": (bz2.compress(TABLE),),
        "xz": (lzma.compress(TABLE),),
        "zstd": (zstd, zstd + zstd),
        "zip": (zipped.getvalue(), stored.getvalue(), test_any_bytes.npz(test_any_bytes.MATRIX)),
    }
    for name, files in seeds.items():
        target = _reader("interactions", "csv", files, [{}], b"PK\x01\x02", b"PK\x05\x06")
        yield target._replace(name=f"packed-{name}")


def _named() -> Target:
    """Return files of which only the name tells the format, or that and the first line."""
    names = ("a.csv", "a.tsv", "a.dat", "u.data", "a.npz", "a.parquet", "a.inter", "a.item", "a")

    def run(data: bytes) -> None:
        if len(data) < 2:
            return
        name = names[data[0] % len(names)]
        file = io.BytesIO(data[2:])
        file.name = name  # type: ignore[attr-defined]
        load = (load_interactions, load_features)[data[1] % 2]
        try:
            _guarded(name, lambda: load(file))
        except ValueError as error:
            if "does not tell its format" not in str(error):
                raise

    files = [row[2] for rows in (test_data_sets.LIKES, test_data_sets.TAGS) for row in rows]
    seeds = [bytes([at % len(names), at % 2]) + file for at, file in enumerate(files)]
    return Target("by-name", tuple(seeds), run, WORDS)


def _arrow() -> Target:
    """Return streams of Arrow, which pyarrow opens without looking at what is in them."""
    tables = (
        pa.table({"user": [1, 2, 2], "item": ["a", "b", "c"], "id": [1, 2, 3], "tag": list("xyz")}),
        pa.table(
            {
                "user": pa.array(["u", "v", None]).dictionary_encode(),
                "item": pa.array(["a", "b", "c"], pa.large_string()),
                "id": pa.array([1.0, 2.0, float("nan")]),
                "tag": pa.array([["x"], [], ["y", "z"]]),
            }
        ),
        pa.table({"user": pa.array(["u", "v"], pa.string_view()), "item": [b"a", b"b"]}),
    )
    seeds = []
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        seeds += [bytes([at]) + sink.getvalue().to_pybytes() for at in range(4)]
    options = ({}, {"on_bad_lines": "skip"})

    def run(data: bytes) -> None:
        try:
            table = pa.ipc.open_stream(data[1:]).read_all()
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, MemoryError):
            return  # of pyarrow, which the caller has called
        load = (load_interactions, load_features)[data[0] % 2]
        _guarded("the data frame", lambda: load(table, **options[data[0] // 2 % 2]))

    return Target("arrow", tuple(seeds), run, (b"\xff" * 4, b"\0" * 4, b"\x7f", b"user"))


def _names_file() -> Target:
    """Return the names of tags in a file of their own."""
    path = Path("names.dat")

    def run(data: bytes) -> None:
        path.write_bytes(data)
        _guarded(
            str(path), lambda: load_features(b"1 0\n1 1\n", format="citeulike", names_file=path)
        )

    return Target("names-file", (b"a\nb\n", "ä\r\n\nb".encode()), run, WORDS)


def _saved() -> Target:
    """Return files of `Interactions.save`."""
    seeds = []
    with contextlib.ExitStack() as stack:
        import tempfile

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for users, times in (([1, 2, 2], None), (["ä", "b\0", ""], np.arange(3))):
            made = Interactions.from_arrays(users, list("xyx"), timestamps=times)
            made.save(folder / "likes")
            seeds.append((folder / "likes").read_bytes())
    path = Path("likes")

    def run(data: bytes) -> None:
        path.write_bytes(data)
        _guarded(str(path), lambda: Interactions.load(path))

    return Target("saved-interactions", tuple(seeds), run, (b"<i8", b"|O", b"(3,)", b"\xff" * 4))


def targets() -> list[Target]:
    """Return all of them."""
    return [
        *_tables(),
        *_of_data_sets(),
        *_of_any_bytes(),
        *_packed(),
        _named(),
        _arrow(),
        _names_file(),
        _saved(),
    ]
