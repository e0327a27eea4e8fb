"""What can be read: files however they are packed, pipes, folders, bytes, data frames."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cml_fast.data import Interactions, load_interactions
from cml_fast.errors import DataError

CSV = b"user,item\nann,tea\nbob,rice\n"
PAIRS = {("ann", "tea"), ("bob", "rice")}


def pairs(interactions: Interactions) -> set[tuple[object, object]]:
    rows, columns = interactions.matrix.nonzero()
    users, items = interactions.user_ids[rows], interactions.item_ids[columns]
    return set(zip(users.tolist(), items.tolist(), strict=True))


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("//", "/"), content)
    return file.getvalue()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PACKED = {
    "a.csv": CSV,
    "a.csv.gz": gzip.compress(CSV),
    "a.CSV.GZ": gzip.compress(CSV),
    "a.csv.bz2": bz2.compress(CSV),
    "a.csv.BZ2": bz2.compress(CSV),
    "a.csv.xz": lzma.compress(CSV),
    "a.csv.zst": zstd(CSV),
    "a.zip": zipped(**{"likes.csv": CSV}),
    "b.csv.zip": zipped(**{"folder//likes.csv": CSV, "__MACOSX//likes.csv": b"x"}),
    "two.csv.gz": gzip.compress(CSV[:20]) + gzip.compress(CSV[20:]),
    "two.csv.zst": zstd(CSV[:20]) + zstd(CSV[20:]),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name])
    assert pairs(load_interactions(tmp_path / name)) == PAIRS
    assert pairs(load_interactions(PACKED[name], format="csv")) == PAIRS


@pytest.mark.parametrize("name", [name for name in PACKED if name != "a.csv"])
def test_truncated_packed_files(tmp_path: Path, name: str) -> None:
    content = PACKED[name]
    for size in (*range(1, 12), len(content) // 2, len(content) - 5):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(DataError, match=name):
            load_interactions(tmp_path / name, format="csv")


def test_a_zip_of_several_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(**{"a.csv": CSV, "b.csv": CSV}))
    with pytest.raises(DataError, match=r"a.zip must have one file in it, it has 2 \(a.csv, b.csv"):
        load_interactions(tmp_path / "a.zip")


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_once(packed: bool) -> None:
    lines = [f"{user} {user + 1} {user + 2}" for user in range(20_000)]
    content = "\n".join(lines).encode()
    reading, writing = os.pipe()
    feed = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
        stdin=subprocess.PIPE,
        stdout=writing,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert feed.stdin is not None
        import threading

        data = gzip.compress(content) if packed else content
        thread = threading.Thread(target=lambda: (feed.stdin.write(data), feed.stdin.close()))  # type: ignore[union-attr]
        thread.start()
        got = load_interactions(file, format="adjacency")
        thread.join()
    feed.wait()
    assert got.matrix.nnz == 40_000
    assert got.report is not None and got.report.pairs == 40_000


def test_open_files(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    with path.open("rb") as binary:
        assert pairs(load_interactions(binary)) == PAIRS
        assert not binary.closed
    with path.open() as text:
        assert pairs(load_interactions(text)) == PAIRS
    assert pairs(load_interactions(io.BytesIO(CSV), format="csv")) == PAIRS
    assert pairs(load_interactions(io.StringIO(CSV.decode()), format="csv")) == PAIRS
    with pytest.raises(ValueError, match="the bytes does not tell its format by its name"):
        load_interactions(CSV)


def test_several_files_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(CSV)
    (tmp_path / "2.csv").write_bytes(b"item,user\ntea,bob\n")
    expected = PAIRS | {("bob", "tea")}
    several = load_interactions([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert pairs(several) == pairs(load_interactions(tmp_path / "*.csv")) == expected
    assert several.report is not None and several.report.lines == 5
    with pytest.raises(FileNotFoundError, match=r"no file matches .*\.tsv"):
        load_interactions(tmp_path / "*.tsv")
    (tmp_path / "3.csv").write_bytes(b"user,item\nann\n")
    with pytest.raises(DataError, match=r"3\.csv: line 2 has 1 fields"):
        load_interactions(tmp_path / "*.csv")


def test_a_folder_as_spark_writes_it(tmp_path: Path) -> None:
    for event, user in (("view", "ann"), ("buy", "bob")):
        folder = tmp_path / f"event={event}"
        folder.mkdir()
        table = pa.table({"user": [user], "item": ["tea"]})
        pq.write_table(table, folder / "part-0.parquet")
        (folder / ".part-0.parquet.crc").write_bytes(b"x")
    (tmp_path / "_SUCCESS").touch()
    assert pairs(load_interactions(tmp_path)) == {("ann", "tea"), ("bob", "tea")}
    bought = load_interactions(tmp_path, where={"event": "buy"})
    assert pairs(bought) == {("bob", "tea")}
    assert bought.report is not None and bought.report.filtered == 1
    with pytest.raises(FileNotFoundError, match="is a folder without a file to read"):
        (tmp_path / "empty").mkdir()
        load_interactions(tmp_path / "empty")


def test_remote_files(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    with fsspec.open("memory://likes.csv.gz", "wb") as file:
        file.write(gzip.compress(CSV))
    assert pairs(load_interactions("memory://likes.csv.gz")) == PAIRS
    with pytest.raises(FileNotFoundError):
        load_interactions("memory://absent.csv")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r"pip install 'cml-fast\[remote\]'"):
        load_interactions("memory://likes.csv.gz")


# Data frames

COLUMNS = {
    "user": ["ann", "bob", "ann", "cai"],
    "item": [7, 8, 8, 7],
    "plays": [1.5, 2.0, 3.0, 0.5],
    "event": ["buy", "view", "buy", "buy"],
}


def frames() -> dict[str, Any]:
    found: dict[str, Any] = {"pyarrow": lambda: pa.table(COLUMNS)}
    found["record batches"] = lambda: pa.RecordBatchReader.from_batches(
        pa.table(COLUMNS).schema, pa.table(COLUMNS).to_batches(2)
    )
    try:
        import pandas as pd

        found["pandas"] = lambda: pd.DataFrame(COLUMNS, index=list("wxyz"))
        found["pandas categories"] = lambda: pd.DataFrame(COLUMNS).astype({"user": "category"})
    except ImportError:
        pass
    try:
        import polars as pl

        found["polars"] = lambda: pl.DataFrame(COLUMNS)
        found["polars lazy"] = lambda: pl.LazyFrame(COLUMNS)
        found["polars categories"] = lambda: pl.DataFrame(COLUMNS).cast({"user": pl.Categorical})
    except ImportError:
        pass
    try:
        import duckdb

        def relation() -> Any:
            likes = pa.table(COLUMNS)
            return duckdb.from_arrow(likes)

        found["duckdb"] = relation
    except ImportError:
        pass
    return found


@pytest.mark.parametrize("kind", frames())
def test_frames(kind: str) -> None:
    got = load_interactions(frames()[kind](), weight="plays", where={"event": "buy"})
    assert pairs(got) == {("ann", 7), ("ann", 8), ("cai", 7)}
    assert got.matrix.toarray().tolist() == [[1.5, 3.0], [0.5, 0.0]]
    assert got.report is not None and (got.report.lines, got.report.filtered) == (4, 1)
    with pytest.raises(DataError, match=r"the data frame has no column 'who'; the columns are: us"):
        load_interactions(frames()[kind](), user="who")


def test_frames_with_gaps_and_mixed_columns() -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame({"user": [1, 2, np.nan], "item": ["a", "b", "c"]})
    with pytest.raises(DataError, match="the data frame: row 2: user None is missing"):
        load_interactions(frame)
    with pytest.warns(UserWarning, match="1 bad lines were skipped"):
        assert pairs(load_interactions(frame, on_bad_lines="skip")) == {(1, "a"), (2, "b")}
    with pytest.raises(DataError, match=r"cannot be read.*\.astype\(str\)"):
        load_interactions(pd.DataFrame({"user": [1, "a"], "item": [1, 2]}))
    with pytest.raises(ValueError, match=r"encoding is an option of csv, .* not of the data frame"):
        load_interactions(frame, encoding="latin-1")


def test_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"source must be a path, .* or a data frame, got int"):
        load_interactions(7)
    with pytest.raises(
        TypeError, match="with a column of users and one of items, got ChunkedArray"
    ):
        load_interactions(pa.chunked_array([[1, 2]]))
    with pytest.raises(TypeError, match="got dict"):
        load_interactions({"user": [1], "item": [2]})
