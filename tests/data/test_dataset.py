"""Data sets in folders: equal to what is read into memory, whole or not there, in a bound."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from cml_fast.data import Dataset, load_interactions
from cml_fast.data._dataset import building, sorting
from cml_fast.data._dataset.estimate import estimated_rows
from cml_fast.data._readers.files import HEAD_BYTES
from cml_fast.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore:.*(duplicate rows|weight 0|bad lines):UserWarning")
MEMORY = "256MiB"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PART_PAIRS", 300)


def write_table(path: Path, kind: str = "csv", *, text: bool = False, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    users, items = random.integers(0, 150, 2000) * 7, random.integers(0, 90, 2000)
    table = {
        "user": [f"u{user}" for user in users] if text else users,
        "item": [f"{item:03d}" for item in items] if text else items,
        "n": random.integers(0, 5, 2000),
    }
    if kind == "parquet":
        pq.write_table(pa.table(table), path)
    else:
        sign = "\t" if kind == "tsv" else ","
        lines = [sign.join(map(str, row)) for row in zip(*table.values(), strict=True)]
        path.write_text("\n".join([sign.join(table), *lines, ""]))
    return path


def assert_same(found: Dataset, source: Any, **options: Any) -> None:
    known = load_interactions(source, **options)
    found.verify()
    assert found.shape == known.matrix.shape and found.nnz == known.matrix.nnz
    for name in ("user_ids", "item_ids"):
        ids, expected = getattr(found, name), getattr(known, name)
        assert ids.dtype == expected.dtype and np.array_equal(ids, expected)
    assert np.array_equal(found.indptr, known.matrix.indptr)
    assert np.array_equal(found.indices, known.matrix.indices)
    weights = np.ones(found.nnz) if found.weights is None else found.weights
    assert np.array_equal(weights, known.matrix.data)
    assert (found.indptr.dtype, found.indices.dtype) == (np.int64, np.int32)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("weight", [None, "n"])
def test_equals_what_is_read_into_memory(
    tmp_path: Path, kind: str, text: bool, weight: str | None
) -> None:
    source = write_table(tmp_path / f"likes.{kind}", kind, text=text)
    found = Dataset.build(source, tmp_path / "likes", memory=MEMORY, weight=weight)
    assert_same(found, source, weight=weight)
    assert len(found._manifest.parts) > 3
    assert sorted(os.listdir(tmp_path)) == ["likes", source.name]
    assert pickle.loads(pickle.dumps(found)).token == found.token


def test_several_files_of_which_some_have_texts_for_ids(tmp_path: Path) -> None:
    folder = tmp_path / "of [1] ann's *"  # signs that mean something to DuckDB
    folder.mkdir()
    files = [write_table(folder / f"{at}.csv", text=at == 1, seed=at) for at in range(3)]
    found = Dataset.build(files, folder / "likes", memory=MEMORY, weight="n")
    assert_same(found, files, weight="n")
    again = Dataset.build(files[::-1], tmp_path / "again", memory=MEMORY, weight="n")
    assert again.token == found.token  # whatever the order of the rows


def test_lists_have_users_without_items(tmp_path: Path) -> None:
    (tmp_path / "lists.txt").write_text("1 2 3\n2\n3 3 5 6\n4\n")
    found = Dataset.build(tmp_path / "lists.txt", tmp_path / "likes", format="adjacency")
    assert_same(found, tmp_path / "lists.txt", format="adjacency")


def test_one_pair_with_many_rows_and_sums_beyond_float32(tmp_path: Path) -> None:
    n = 3 * sorting._BATCH_ROWS // 2
    table = {"user": np.zeros(n, int), "item": np.zeros(n, int), "n": np.full(n, 0.1)}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = Dataset.build(tmp_path / "a.parquet", tmp_path / "likes", weight="n")
    assert found.nnz == 1 and found.weights[0] == pytest.approx(0.1 * n, rel=1e-6)
    (tmp_path / "b.csv").write_text("user,item,n\n1,1,3e38\n1,1,3e38\n")
    with pytest.raises(DataError, match="more than float32 holds"):
        Dataset.build(tmp_path / "b.csv", tmp_path / "other", weight="n")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
def test_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    files = [write_table(tmp_path / f"{k}.csv", text=k == 1, seed=k) for k in range(3)]
    out = tmp_path / "likes"
    expected = Dataset.build(files, tmp_path / "expected", memory=MEMORY, weight="n").token
    save, saved, read = building._Build._save, [], []

    def kill(self: Any) -> None:
        save(self)
        saved.append(len(self.state["parts"]))
        if len(saved) == at:
            raise Killed

    monkeypatch.setattr(building._Build, "_save", kill)
    with pytest.raises(Killed):
        Dataset.build(files, out, memory=MEMORY, weight="n")
    assert not out.exists()
    with pytest.raises(FileExistsError, match="begun with another weight"):
        Dataset.build(files, out, memory=MEMORY)
    real = building.sources
    monkeypatch.setattr(building, "sources", lambda path: (read.append(path), real(path))[1])
    monkeypatch.setattr(building._Build, "_save", save)
    assert Dataset.build(files, out, memory=MEMORY, weight="n").token == expected
    assert len(read) == max(0, 3 - at)  # what was read is not read again
    assert not (tmp_path / "likes.unfinished").exists()


def killed_with_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    source = write_table(tmp_path / "likes.csv")
    keep = building._Build.keep

    def kill(self: Any, parts: list[Any]) -> None:
        keep(self, parts)
        if len(parts) == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(building._Build, "keep", kill)
        with pytest.raises(Killed):
            Dataset.build(source, tmp_path / "out", memory=MEMORY)
    return source, tmp_path / "out.unfinished"


def test_a_damaged_part_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, work = killed_with_parts(tmp_path, monkeypatch)
    with (work / "whole/indices.npy").open("r+b") as file:
        file.seek(128 + 4 * 400)
        file.write(b"\xff\xff")
    assert_same(Dataset.build(source, tmp_path / "out", memory=MEMORY), source)


def test_a_source_that_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, work = killed_with_parts(tmp_path, monkeypatch)
    source.write_text(source.read_text() + "1,2,3\n")
    with pytest.raises(DataError, match=r"likes\.csv has changed .* remove .*out\.unfinished"):
        Dataset.build(source, tmp_path / "out", memory=MEMORY)
    assert work.is_dir()


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_disk_that_is_too_small_is_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = write_table(tmp_path / "likes.parquet", "parquet")
    if kind != "parquet":
        source = write_table(tmp_path / "likes.csv")
    if kind == "csv.gz":
        source = tmp_path / "likes.csv.gz"
        source.write_bytes(gzip.compress((tmp_path / "likes.csv").read_bytes(), 6))
    usage = building.shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr(building.shutil, "disk_usage", lambda path: usage)
    with monkeypatch.context() as patch:
        patch.setattr(building.PairReader, "read", None)
        expected = r"need about (79|80)(\.\d)? kB of disk, and 50 kB are free"
        with pytest.raises(OSError, match=expected) as refusal:
            Dataset.build(source, tmp_path / "out", memory=MEMORY)
    n_rows = int(re.search(r"about ([0-9,]+) rows", str(refusal.value))[1].replace(",", ""))
    assert abs(n_rows - 2000) <= {"parquet": 0, "csv": 1, "csv.gz": 20}[kind]
    assert not list(tmp_path.glob("out*"))


def test_the_rows_of_a_large_file_are_estimated(tmp_path: Path) -> None:
    lines = [f"{user * 7919},{user % 977}" for user in range(60_000)]
    text = "\n".join(["user,item", *lines, ""]).encode()
    (tmp_path / "a.csv").write_bytes(text)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text, 6))
    for path in tmp_path.iterdir():
        assert len(path.read_bytes()) > HEAD_BYTES
        assert 50_000 < estimated_rows([path]) < 72_000, path
    os.mkfifo(tmp_path / "pipe")
    assert estimated_rows([tmp_path / "pipe"]) == 0  # and does not wait for somebody to write


def test_a_disk_that_is_too_small_is_refused_before_sorting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, options = write_table(tmp_path / "likes.csv"), {"rating": "n", "min_rating": 0}
    usage = building.shutil.disk_usage(tmp_path)._replace(free=50_000)
    with monkeypatch.context() as patch:
        patch.setattr(building.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(OSError, match=r"needs 64 kB of disk .* 50 kB are free"):
            Dataset.build(source, tmp_path / "out", memory=MEMORY, **options)
    found = Dataset.build(source, tmp_path / "out", memory=MEMORY, **options)
    assert_same(found, source, **options)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("user,item\n", {}, "has no interaction"),
        ("user,thing\n1,2\n", {}, "has no column 'item'"),
        ("user,item\n1,2\n1,\n", {}, "line 3: item '' is missing"),
    ],
)
def test_wrong_files_leave_nothing(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        Dataset.build(tmp_path / "a.csv", tmp_path / "out", **options)
    assert os.listdir(tmp_path) == ["a.csv"]


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_table(tmp_path / "likes.csv")
    for memory in ("2 things", "10MB", 5):
        with pytest.raises(ValueError, match="memory must be"):
            Dataset.build(source, tmp_path / "out", memory=memory)
    with pytest.raises(FileExistsError, match="give another path"):
        Dataset.build(source, tmp_path)
    monkeypatch.setattr(building, "MAX_OBJECTS", 50)
    with pytest.raises(DataError, match="more than 50 items"):
        Dataset.build(source, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"pip install 'cml-fast\[duckdb\]'"):
        Dataset.build(source, tmp_path / "other")


def test_files_that_are_not_whole_or_of_another_data_set(tmp_path: Path) -> None:
    one, other = (
        Dataset.build(write_table(tmp_path / f"{at}.csv", seed=at), tmp_path / f"of {at}")
        for at in range(2)
    )
    for name in ("indices.npy", "user_ids.parquet"):
        path = one.path / name
        content = path.read_bytes()
        path.write_bytes(content[:-100])
        with pytest.raises(DataError, match=name):
            Dataset.open(one.path)
        path.write_bytes(content)
    Dataset.open(one.path).verify()
    for name in ("indices.npy", "item_ids.parquet"):
        path = one.path / name
        content = bytearray(path.read_bytes())
        given = (other.path / name).read_bytes()
        if name == "indices.npy":  # of the same size
            content[300:600] = given[300:600]
        else:
            ids = pa.table({"id": pa.array(one.item_ids + 1)})
            pq.write_table(ids.cast(pa.schema([pa.field("id", pa.int64(), False)])), path)
            content = bytearray(path.read_bytes())
        before = path.read_bytes() if name == "indices.npy" else None
        path.write_bytes(content)
        with pytest.raises(DataError, match="of another data set"):
            Dataset.open(one.path).verify()
        if before is not None:
            path.write_bytes(before)
    (one.path / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"has no dataset\.json"):
        Dataset.open(one.path)


@pytest.mark.slow
def test_many_runs_are_sorted_in_a_bound_of_memory(tmp_path: Path) -> None:
    """3 million rows in 40 runs: without a bound they take more than is allowed here."""
    code = """
import sys, threading, time
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from cml_fast.data._dataset.sorting import Engine, sorted_batches
folder, n_bytes = Path(sys.argv[1]), int(sys.argv[2])
random, runs = np.random.default_rng(0), []
items = pa.table({"id": np.arange(50_000)})
pq.write_table(items, folder / "items.parquet")
for at in range(40):
    runs.append(folder / f"{at}.parquet")
    n = 75_000
    pq.write_table(pa.table({"user": random.integers(0, 10**6, n),
                             "item": random.integers(0, 50_000, n)}), runs[-1])
def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon"))
base = anonymous()
engine, peak, n = Engine(n_bytes, folder / "spill"), 0, 0
for batch in sorted_batches(engine, runs, folder / "items.parquet", None, False):
    n, peak = n + len(batch), max(peak, anonymous() - base)
print(n, peak >> 20)
"""
    found = {}
    for limit in (32, 1024):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(limit << 20)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        n, found[limit] = map(int, done.stdout.split())
        assert n == 3_000_000
    assert found[32] < 64 < found[1024], found


def write_many(path: Path) -> None:
    """Text with so many rows that a block of 16 MB has a million; Parquet with 175 MB of ids."""
    random, size = np.random.default_rng(0), 100_000
    long = pa.array([f"{user:040x}" for user in random.permutation(300_000)])
    with contextlib.ExitStack() as stack:
        if path.suffix == ".csv":
            schema = pa.schema({"user": pa.int64(), "item": pa.int64()})
            writer = stack.enter_context(pacsv.CSVWriter(path, schema))
        else:
            schema = pa.schema({"user": pa.string(), "item": pa.string()})
            options = {"compression": None, "use_dictionary": False}
            writer = stack.enter_context(pq.ParquetWriter(path, schema, **options))
        for _ in range(20):
            columns = [pa.array(random.integers(0, n, size)) for n in (300_000, 20_000)]
            if path.suffix != ".csv":
                columns = [long.take(column) for column in columns]
            writer.write_batch(pa.record_batch(columns, schema=schema))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mappings on Linux only")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_system_gives_no_more_than_the_bound(tmp_path: Path, kind: str) -> None:
    """The process may take its memory before the call, the bound, and half of it.

    The half is for what allocators take beyond what is in use. A first call has loaded all
    libraries and begun their threads. Arrow shall use malloc, as its own allocators take a GiB of
    addresses at once, of which nobody sees what is used.
    """
    code = """
import resource, sys
from pathlib import Path
from cml_fast.data import Dataset
source, folder, n_bytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
(folder / "few.csv").write_text("user,item\\n1,2\\n")
Dataset.build(folder / "few.csv", folder / "few", memory=n_bytes)
with open("/proc/self/status") as file:
    taken = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData"))
limit = taken + n_bytes + n_bytes // 2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(Dataset.build(source, folder / "many", memory=n_bytes).nnz)
"""
    source = tmp_path / f"many.{kind}"
    write_many(source)
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path), str(256 << 20)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 1_900_000


def test_a_thread_that_does_not_start_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the class that a lock of another process raises, too."""
    source = write_table(tmp_path / "likes.csv")

    def fail(*_: Any) -> None:
        raise OSError(errno.EAGAIN, "no thread can be started for it", str(source))

    monkeypatch.setattr(building, "Engine", fail)
    with pytest.raises(BlockingIOError, match="no thread can be started"):
        Dataset.build(source, tmp_path / "likes", memory=MEMORY)


def test_no_room_for_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process where a thread of it gets no memory."""
    monkeypatch.setattr(sorting, "can_start_threads", lambda *_: False)
    with pytest.raises(MemoryError, match=r"DuckDB may need up to .* of address space"):
        Dataset.build(write_table(tmp_path / "likes.csv"), tmp_path / "likes", memory=MEMORY)
    assert [path.name for path in tmp_path.iterdir()] == ["likes.csv"]
