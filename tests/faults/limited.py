"""What children of the nursery do with little memory, or where no file may become large."""

from __future__ import annotations

import functools
import os
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import scipy.sparse as sp

from cml_fast import Model, Trainer
from cml_fast._search.index import KINDS
from cml_fast.data import Dataset, Interactions, load_features, load_interactions
from cml_fast.errors import DataError, ModelError


class Size(NamedTuple):
    """How much a task takes."""

    folder: str
    n_users: int
    n_dims: int
    n_threads: int


# The status of a child that ended as it should.
GOOD = 7
# The same tasks are done twice: a small one loads all modules and fills all caches, so that what a
# large one does with little memory is its own.
SMALL = Size("small", 40, 2, 1)
LARGE = Size("large", 20_000, 32, 3)
N_ITEMS, QUERIES = 300, 40


def _likes(size: Size) -> sp.csr_array:
    columns = np.arange(size.n_users * 5) * 7 % N_ITEMS
    matrix = (np.ones(len(columns), np.float32), columns, np.arange(size.n_users + 1) * 5)
    return sp.csr_array(matrix, shape=(size.n_users, N_ITEMS))


def _trainer(size: Size, update: str = "sync") -> Trainer:
    return Trainer(
        n_epochs=1,
        n_dims=size.n_dims,
        temperature=0.2,
        user_retention=1.0,
        update=update,
        device="cpu",
        n_threads=size.n_threads,
        verbose=False,
    )


def _model(size: Size, kind: str | None = None) -> Model:
    rng = np.random.default_rng(0)
    model = Model(rng.random((size.n_users, size.n_dims)), rng.random((N_ITEMS, size.n_dims)))
    return model if kind is None else model.build_index(kind, recall=None)


def _search(kind: str, folder: Path, size: Size) -> None:
    """Build an index of some of the users, who are many, and search in it."""
    rng = np.random.default_rng(0)
    vectors = rng.random((max(QUERIES, size.n_users // 4), size.n_dims))
    model = Model(vectors[:QUERIES], vectors).build_index(kind, recall=None)
    model.recommend(np.arange(QUERIES), n_threads=size.n_threads)


def _installed(kind: str) -> bool:
    try:
        KINDS[kind].build(np.ones((2, 2), np.float32))
    except ImportError:
        return False
    return True


def _write_likes(path: Path, size: Size) -> None:
    rows = np.arange(size.n_users * 5)
    Interactions.from_arrays(rows % size.n_users, (rows * 7 + rows // size.n_users) % N_ITEMS).save(
        path
    )


def _write_files(folder: Path, size: Size) -> None:
    """Write likes and tags as text and Parquet."""
    rows = np.arange(size.n_users * 5)
    table = pa.table(
        {"user": rows % size.n_users, "item": (rows * 7 + rows // size.n_users) % N_ITEMS}
    )
    pq.write_table(table, folder / "likes.parquet")
    pa.csv.write_csv(table, folder / "likes.csv")
    pa.csv.write_csv(table.rename_columns(["id", "tag"]), folder / "tags.csv")
    lines = (f'{{"user": {row["user"]}, "item": {row["item"]}}}\n' for row in table.to_pylist())
    (folder / "likes.jsonl").write_text("".join(lines))


def _build(name: str, folder: Path, size: Size) -> None:
    with tempfile.TemporaryDirectory() as made:
        Dataset.build(folder / name, Path(made, "likes"), memory="256MiB")


def _write_inputs(folder: Path, size: Size) -> None:
    """Write what the tasks read."""
    folder.mkdir()
    _write_files(folder, size)
    one = size._replace(n_threads=1)
    for name in WRITING:
        TASKS[name](folder, one)


# What writes files, and the small ones that are there before.
WRITING: dict[str, Callable[[Path, Size], object]] = {
    "checkpoint": lambda folder, size: _trainer(size).fit(
        _likes(size), checkpoint=folder / "checkpoint"
    ),
    "save": lambda folder, size: _model(size).save(folder / "model"),
    "csv of results": lambda folder, size: _model(size).recommend_all(
        folder / "results.csv", 5, overwrite=True, n_threads=size.n_threads
    ),
    "parquet of results": lambda folder, size: _model(size).recommend_all(
        folder / "results.parquet", 5, overwrite=True, n_threads=size.n_threads
    ),
    "export": lambda folder, size: _model(size).export(
        folder / "items.parquet", "users", if_exists="replace"
    ),
    "likes": lambda folder, size: _write_likes(folder / "likes.npz", size),
}
READING: dict[str, Callable[[Path, Size], object]] = {
    "train": lambda folder, size: _trainer(size, "async").fit(_likes(size)),
    "resume": lambda folder, size: Trainer.resume(folder / "checkpoint", _likes(size)),
    "load": lambda folder, size: Model.load(folder / "model"),
    "recommend": lambda folder, size: _model(size).recommend(
        np.arange(size.n_users), n_threads=size.n_threads
    ),
    "read likes": lambda folder, size: Interactions.load(folder / "likes.npz"),
    "read csv": lambda folder, size: load_interactions(folder / "likes.csv"),
    "read features": lambda folder, size: load_features(folder / "tags.csv"),
    "read jsonl": lambda folder, size: load_interactions(folder / "likes.jsonl"),
    "read parquet": lambda folder, size: load_interactions(folder / "likes.parquet"),
    "build of csv": functools.partial(_build, "likes.csv"),
    "build of parquet": functools.partial(_build, "likes.parquet"),
    **{f"index {kind}": functools.partial(_search, kind) for kind in KINDS if _installed(kind)},
}
TASKS = {**WRITING, **READING}


def prepare(path: str) -> None:
    """Write what the tasks read, and do each of them once."""
    child = os.fork()  # which takes what memory the large ones leave behind with it
    if child == 0:
        _write_inputs(Path(path, LARGE.folder), LARGE)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    _write_inputs(Path(path, SMALL.folder), SMALL)
    for task in TASKS.values():
        task(Path(path, SMALL.folder), SMALL)


def limited(name: str, kind: str, limit: int, path: str) -> None:
    """Do a large task with so many further bytes of address space, or files of at most so many."""
    folder = Path(path, SMALL.folder if name in WRITING else LARGE.folder)
    before = _content(folder)
    _give_back_stacks()
    if kind == "AS":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit += pages * os.sysconf("SC_PAGE_SIZE")
    number = {"AS": resource.RLIMIT_AS, "FSIZE": resource.RLIMIT_FSIZE}[kind]
    most = resource.getrlimit(number)[1]
    sys.dont_write_bytecode = True  # Python would keep half of a file
    resource.setrlimit(number, (limit, most))
    failure = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            TASKS[name](folder, LARGE)
        except BaseException as error:
            failure = error
    resource.setrlimit(number, (most, most))
    print(_judged(failure, folder, before, [str(one.message) for one in warned], kind))
    sys.stdout.flush()
    os._exit(GOOD)


def _give_back_stacks() -> None:
    """End a thread, which gives the stacks of earlier ones back to the system.

    That happens after ``join`` has returned. Memory given back after the limit was set would add to
    what the task may take.
    """
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.001)


def _judged(
    failure: BaseException | None, folder: Path, before: dict[str, bytes], warned: list[str],
    kind: str,
) -> str:  # fmt: skip
    """Return "done", "refused" or what is wrong."""
    after = _content(folder)
    left = [path for path in after if "tmp" in path or "unfinished" in path]
    if left:
        return f"left behind: {left}"
    unsaved = [text for text in warned if str(folder) in text]
    if failure is None and not unsaved:
        return "done"
    changed = [path for path, content in before.items() if after.get(path) != content]
    if changed:
        return f"lost: {changed}"
    if failure is None:
        return "refused"  # a checkpoint, without which a training goes on with a warning
    if not isinstance(failure, (MemoryError, OSError, DataError, ModelError)):
        return f"{type(failure).__name__}: {failure}"
    if kind == "FSIZE" and str(folder) not in str(failure):
        return f"no file is named: {failure}"
    return "refused"


def _content(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
