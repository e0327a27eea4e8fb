"""Preparing and training from files that are larger than memory, beside training from memory.

    python -m benchmarks.studies.beyond_memory --pairs 100_000_000 --in-memory 20_000_000

Likes are drawn block by block and written in random order to Parquet files, of which
`data.Dataset.build` makes a data set in a process with a bound of its memory. Another process
trains one epoch on it, and a third one draws fewer likes of the same kind into a matrix and trains
one epoch on that. Trainings use one thread. The table shows pairs per CPU-second: of the whole
preparation, and of the epoch (time between launches included, first vectors not). Beside it are
the CPU-seconds of the whole call, and by how much the anonymous memory of the process grew at the
peak: what it has taken for itself, without what the system keeps of files. For the matrix that
includes the likes. It needs Linux (/proc), and about 45 bytes of disk for each pair. The files are
removed as soon as nothing reads them any more.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._training.scheduled import ScheduledJob
from cml_fast.data import Dataset

from ..common import results_file
from ..common.clock import rate, ratio

MODULE = "benchmarks.studies.beyond_memory"
LIKES_OF_USER = 100
BLOCK_USERS = 50_000
N_FILES = 16
# The ids of successive users are so far apart, modulo their number.
STRIDE = 1_000_003
SECONDS_BETWEEN_LOOKS = 0.05
MB = 1e6

Row = dict[str, Any]


def drawn(n_pairs: int, n_items: int) -> Iterator[np.ndarray]:
    """The items of some users, (users, LIKES_OF_USER), until there are ``n_pairs``.

    The items are sorted and distinct, and those with low numbers are liked most.
    """
    n_users = n_pairs // LIKES_OF_USER
    for first in range(0, n_users, BLOCK_USERS):
        size = min(BLOCK_USERS, n_users - first), LIKES_OF_USER
        shares = np.random.default_rng(first).random(size, dtype=np.float32) ** 2
        # Sorted numbers that may repeat, spread by 0, 1, 2, ..., are sorted and distinct.
        items = np.sort((shares * (n_items - LIKES_OF_USER)).astype(np.int32), axis=1)
        yield items + np.arange(LIKES_OF_USER, dtype=np.int32)


def write(folder: Path, n_pairs: int, n_items: int) -> None:
    """Write the likes to Parquet files in `folder`, which is made.

    Each user has likes in all files, and successive rows are of users who are far apart.
    """
    folder.mkdir(parents=True)
    n_users, begin = n_pairs // LIKES_OF_USER, 0
    schema = pa.schema({"user": pa.int32(), "item": pa.int32()})
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(pq.ParquetWriter(folder / f"{at:02d}.parquet", schema))
            for at in range(N_FILES)
        ]
        for items in drawn(n_pairs, n_items):
            order = np.random.default_rng(begin).permutation(items.size)
            users = np.arange(begin, begin + len(items)) * STRIDE % n_users
            for file, rows in zip(files, np.array_split(order, N_FILES), strict=True):
                chosen = users[rows // LIKES_OF_USER].astype(np.int32), items.ravel()[rows]
                file.write_batch(pa.record_batch(list(map(pa.array, chosen)), schema=schema))
            begin += len(items)


def matrix(n_pairs: int, n_items: int) -> sp.csr_array:
    """The same likes in memory."""
    items = np.concatenate([block.ravel() for block in drawn(n_pairs, n_items)])
    indptr = np.arange(0, len(items) + 1, LIKES_OF_USER, dtype=np.int32)
    weights = np.ones(len(items), dtype=np.float32)
    return sp.csr_array((weights, items, indptr), shape=(len(indptr) - 1, n_items))


def anonymous() -> int:
    """Bytes that this process has taken for itself."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")


class Peaks:
    """Looks at sizes while a block of code runs, and keeps the largest of each.

    Attributes
    ----------
    largest : dict
        By the name of the size.
    """

    def __init__(self, **sizes: Callable[[], int]) -> None:
        self._sizes, self.largest = sizes, dict.fromkeys(sizes, 0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        for name, size in self._sizes.items():
            self.largest[name] = max(self.largest[name], size())

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._look()


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder, which may change meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def prepare(source: Path, out: Path, memory: str) -> Row:
    """Make a data set of files."""
    before, work = anonymous(), out.with_name(f"{out.name}.unfinished")
    n_rows = sum(pq.ParquetFile(path).metadata.num_rows for path in source.iterdir())
    with Peaks(memory=anonymous, disk=lambda: bytes_in(work)) as peaks:
        cpu, wall = time.process_time(), time.perf_counter()
        likes = Dataset.build(source, out, memory=memory)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "pairs": likes.nnz,
        "rows": n_rows,
        "bytes of the source": bytes_in(source),
        "bound of memory": memory,
        "pairs per CPU-second": rate(n_rows, cpu),
        "CPU-seconds": round(cpu, 2),
        "seconds": round(wall, 2),
        "peak anonymous bytes": peaks.largest["memory"] - before,
        "peak bytes of disk": peaks.largest["disk"],
    }


def fit(source: Path | int, n_items: int, n_dims: int) -> Row:
    """Train an epoch on a data set in a folder, or on so many pairs in memory."""
    epoch = [0.0]
    run = ScheduledJob.run

    def timed(job: ScheduledJob, begin: int, end: int) -> Any:
        begun = time.process_time()
        counters = run(job, begin, end)
        epoch[0] += time.process_time() - begun
        return counters

    before = anonymous()
    ScheduledJob.run = timed  # type: ignore[method-assign]
    with Peaks(memory=anonymous) as peaks:
        train = matrix(source, n_items) if isinstance(source, int) else Dataset.open(source)
        begun = time.process_time()
        # With these two there is nothing to choose by short trainings.
        chosen = {"temperature": 0.3, "user_retention": 1.0}
        one = Trainer(
            n_dims=n_dims, n_epochs=1, **chosen, n_threads=1, device="cpu", verbose=False
        ).fit(train)
        seconds = time.process_time() - begun
    return {
        "pairs": train.nnz,
        "users": train.shape[0],
        "bytes of likes": 4 * train.nnz + 8 * (train.shape[0] + 1),
        "pairs per CPU-second": rate(train.nnz, epoch[0]),
        "CPU-seconds of the epoch": round(epoch[0], 2),
        "CPU-seconds": round(seconds, 2),
        "peak anonymous bytes": peaks.largest["memory"] - before,
        "loss": one.history_[0].loss,
    }


def alone(work: Callable[..., Row], *arguments: Any) -> Row:
    """Do it in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000_000, help="in files")
    parser.add_argument("--in-memory", type=int, default=20_000_000, help="pairs in memory")
    parser.add_argument("--n-items", type=int, default=50_000)
    parser.add_argument("--n-dims", type=int, default=16)
    parser.add_argument("--memory", default="1GiB", help="the bound of Dataset.build")
    parser.add_argument("--work", type=Path, default=Path("build/beyond-memory"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    source, likes = args.work / "source", args.work / "likes"
    rows = {}

    def report(name: str, row: Row) -> None:
        rows[name] = row
        print(
            f"{name:8}{row['pairs']:14,} pairs{row['pairs per CPU-second']:12,.0f} pairs/CPU-s"
            f"{row['CPU-seconds']:10.1f} CPU-s{row['peak anonymous bytes'] / MB:10.0f} MB",
            flush=True,
        )

    try:
        begun = time.process_time()
        write(source, args.pairs, args.n_items)
        print(f"written in {time.process_time() - begun:.0f} CPU-seconds", file=sys.stderr)
        report("prepare", alone(prepare, source, likes, args.memory))
        shutil.rmtree(source)
        report("files", alone(fit, likes, args.n_items, args.n_dims))
        report("memory", alone(fit, args.in_memory, args.n_items, args.n_dims))
    finally:
        shutil.rmtree(args.work, ignore_errors=True)
    speeds = [rows[name]["pairs per CPU-second"] for name in ("files", "memory")]
    record = {
        "machine": results_file.machine(),
        "n_items": args.n_items,
        "n_dims": args.n_dims,
        **rows,
        "files / memory": ratio(*speeds),
    }
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
