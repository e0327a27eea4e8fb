"""Whatever bytes a reader gets: every line is a pair, is counted, or is an error that names it.

Files of each format are changed at random. Either they load, and the counts of the report add up to
the lines, or they end in a DataError that names the file. No other exception is possible, and no
more memory than the bytes justify.
"""

from __future__ import annotations

import contextlib
import io
import re
import tracemalloc
import warnings
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings

from cml_fast.data import load_features, load_interactions
from cml_fast.errors import DataError

# What a reader may take for a few bytes. Numbers of rows up to a million need no proof.
MOST_BYTES = 1 << 27
NOT_SUMMED = {"lines", "unknown", "merged", "pairs", "first_bad"}


def npz(matrix: Any) -> bytes:
    file = io.BytesIO()
    sp.save_npz(file, matrix, compressed=False)
    return file.getvalue()


def parquet(**options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table(
        {
            **{
                "user": [1, 2, 3],
                "id": [1, 2, 3],
                "item": ["a", "b", "a"],
                "tag": ["x", None, "y"],
            },
            "w": pa.array([Decimal("0.50"), Decimal(2), Decimal(3)]),
            "t": pa.array([0, 10**9, 10**18], pa.timestamp("ns", "UTC")),
        }
    )
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


MATRIX = sp.csr_array(np.array([[1, 0, 2.5], [0, 0, 0], [0, 3, 0]], dtype=np.float32))
# For each format, files, and pieces to put into them.
FILES: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "jsonl": (
        (
            b'{"user": 1, "item": "a", "id": 3, "tag": "x", "w": 2}\n{"item": 2, "user": 7}\n\n',
            b'{"user": 1, "item": "a", "id": 3, "tag": "x", "w": 2, "t": 7}\n',
            b'{"user": 1.0, "item": null, "id": true, "tag": [1]}\n{"user": {}, "item": -1}',
        ),
        (
            *(
                b"{",
                b"}",
                b"[",
                b'"',
                b":",
                b",",
                b"\\ud800",
                b"\\u0000",
                b"1e999",
                b"NaN",
                b"null",
            ),
            *(
                b"true",
                b"1.5",
                b"\n",
                b"\r\n",
                b"\0",
                b"\xff",
                b'"item"',
                b"9" * 30,
                b"\xef\xbb\xbf",
            ),
        ),
    ),
    "netflix": (
        (b"1:\n7,3,2005-09-06\n8,5,2005-05-13\n2:\n7,4,2005-09-05\n", b"1:\r\n7,3,\n\n2:\r\n"),
        (
            *(
                b":",
                b",",
                b"\n",
                b"\r",
                b"3:\n",
                b"x",
                b"\0",
                b"\xff",
                b"2005-01-01",
                b"9" * 30,
                b'"',
            ),
            *(b"7,1,2004-02-29\n", b"\n\n", b"\xef\xbb\xbf", b" "),
        ),
    ),
    "adjacency": (
        (b"0 1 2 3\n1 4\n2\n\n7 1\n", b"0\n1 1 1\n"),
        (
            *(
                b" ",
                b"\n",
                b"\r\n",
                b"-",
                b"x",
                b"9" * 18,
                b"9" * 20,
                b"2147483648",
                b"\0",
                b"\xff",
            ),
            *(b"\xef\xbb\xbf", b"\t", b"1.5", b"0"),
        ),
    ),
    "citeulike": (
        (b"2 1 4\n0\n1 0\n", b"1 1\n1 1\n"),
        (
            *(
                b" ",
                b"\n",
                b"\r\n",
                b"-",
                b"x",
                b"9" * 18,
                b"9" * 20,
                b"1 2000000000\n",
                b"\0",
                b"\xff",
            ),
            *(b"\xef\xbb\xbf", b"1 7\n", b"0\n"),
        ),
    ),
    "npz": (
        (npz(MATRIX), npz(MATRIX.tocoo()), npz(MATRIX.tocsc())),
        (
            *(b"\xff" * 8, b"\0" * 8, b"(3, 3)", b"(-1,)", b"(9999999999,)", b"<f8", b"|O", b"<i8"),
            *(b"csr", b"bsr", b"PK\x03\x04", b"True"),
        ),
    ),
    "parquet": (
        (parquet(), parquet(compression="none"), parquet(use_dictionary=False, version="1.0")),
        (b"\xff" * 8, b"\0" * 4, b"PAR1", b"\x15", b"\x7f", b"user", b"item", b"\xff\xff\xff\x7f"),
    ),
}
LOADERS = {"interactions": load_interactions, "features": load_features}
CASES = [
    (format, kind)
    for format in FILES
    for kind in LOADERS
    if (format, kind) not in (("netflix", "features"), ("adjacency", "features"))
]


def options_of(format: str, kind: str) -> list[dict[str, Any]]:
    """Return the options to try."""
    handling = [{}, {"on_bad_lines": "skip"}]
    if format not in ("jsonl", "parquet"):
        return handling
    columns: list[dict[str, Any]] = [{}, {"weight": "w"}, {"where": {"w": ["2.00", "1"]}}]
    if kind == "interactions":
        columns.append({"weight": "w", "timestamp": "t"})
    else:
        columns += [{"tag": ["tag", "item"], "numbers": ["w"]}, {"separator": "x"}]
    return [{**one, **other} for one in handling for other in columns]


@st.composite
def changed(draw: st.DrawFn, format: str) -> bytes:
    """Return a file with some bytes replaced, left out or put in."""
    files, pieces = FILES[format]
    content = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(content)))
        how = draw(st.sampled_from(("insert", "replace", "byte", "delete", "truncate", "repeat")))
        piece = draw(st.sampled_from(pieces))
        if how == "insert":
            content = content[:at] + piece + content[at:]
        elif how == "replace":
            content = content[:at] + piece + content[at + len(piece) :]
        elif how == "byte":
            content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        elif how == "delete":
            content = content[:at] + content[at + draw(st.integers(1, 8)) :]
        elif how == "truncate" and at:
            content = content[:at]
        elif how == "repeat":
            content = content[:at] + content
    return content


def n_lines(content: bytes) -> int:
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\n|\r", content)
    return len(lines if lines[-1] else lines[:-1])


def check(format: str, kind: str, content: bytes, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = LOADERS[kind](content, format=format, **options)
        except DataError as error:
            assert str(error).startswith("the bytes"), error
            return
    report = got.report
    assert report.lines == sum(
        value for name, value in vars(report).items() if name not in NOT_SUMMED
    )
    assert report.pairs == got.matrix.nnz > 0
    if format in ("jsonl", "netflix"):
        assert report.lines == n_lines(content)
    if not {"numbers", "separator"} & set(options):  # with which a line may give several pairs
        assert report.kept == report.unknown + report.merged + report.pairs


def run_examples(format: str, kind: str, n_files: int, seed: int = 0) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=n_files,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=changed(format), options=st.sampled_from(options_of(format, kind)))
    def run(content: bytes, options: dict[str, Any]) -> None:
        check(format, kind, content, options)

    run()


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fail if more memory is taken than a file of a few hundred bytes may cost."""
    pool, arrow = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(arrow)
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(pool)
    assert peak + arrow.max_memory() < MOST_BYTES


@pytest.mark.parametrize(("format", "kind"), CASES)
def test_changed_files(format: str, kind: str) -> None:
    with little_memory():
        run_examples(format, kind, 40)


def hostile_npz(shape: tuple[int, ...], indices: list[int], indptr: list[int]) -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        format=b"csr",
        shape=np.array(shape, np.int64),
        data=np.ones(len(indices), np.float32),
        indices=np.array(indices, np.int64),
        indptr=np.array(indptr, np.int64),
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "content", "match"),
    [
        ("citeulike", b"1 200000000\n", "has an item 200000000, but lists only 1 items"),
        ("npz", hostile_npz((1, 50_000_000), [5], [0, 1]), "the shape .*, but only 1 entries"),
        ("npz", hostile_npz((1, -3), [5], [0, 1]), "the shape"),
        ("npz", hostile_npz((1, 1 << 62), [5], [0, 1]), "the shape"),
        ("npz", hostile_npz((3,), [0], [0, 1]), "the shape"),
        ("npz", hostile_npz((1, 3), [7], [0, 1]), "row or column indices outside its shape"),
        ("npz", hostile_npz((1, 3), [-1], [0, 1]), "row or column indices outside its shape"),
        ("npz", hostile_npz((2, 3), [0], [0, 9, 1]), "indptr must have 3 entries"),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(format: str, content: bytes, match: str) -> None:
    with little_memory(), pytest.raises(DataError, match=match):
        load_interactions(content, format=format)


@pytest.mark.slow
@pytest.mark.parametrize(("format", "kind"), CASES)
def test_many_changed_files(format: str, kind: str) -> None:
    run_examples(format, kind, 1_000, seed=1)
