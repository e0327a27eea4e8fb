"""Training from files that are larger than memory, beside training from memory.

    python -m benchmarks.studies.beyond_memory --pairs 100_000_000 --in-memory 20_000_000

Likes are drawn block by block and go straight into the files of a `data.Dataset`, on which a
process trains one epoch. Another process draws fewer likes of the same kind into a matrix and
trains one epoch on that. Both use one thread. The table shows the pairs per CPU-second of the epoch
(time between launches included, first vectors not), the CPU-seconds of the whole fit, and by how
much the anonymous memory of the process grew at the peak: what it has taken for itself, without
what the system keeps of files. For the matrix that includes the likes. It needs Linux (/proc). The
files are removed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._training.scheduled import ScheduledJob
from cml_fast.data import Dataset
from cml_fast.data._dataset.folder import IDS
from cml_fast.data._dataset.ids import IdWriter
from cml_fast.data._dataset.writer import PART_PAIRS, Writer

from ..common import results_file
from ..common.clock import rate, ratio

MODULE = "benchmarks.studies.beyond_memory"
LIKES_OF_USER = 100
BLOCK_USERS = 50_000
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
    """Write a data set in `folder`, which is made."""
    folder.mkdir(parents=True)
    arrays, sums = Writer(folder, is_weighted=False), {}
    for items in drawn(n_pairs, n_items):
        arrays.add_pairs(items.ravel(), None)
        arrays.add_users(np.full(len(items), LIKES_OF_USER))
        if arrays.pairs_in_part >= PART_PAIRS:
            arrays.end_part()
    arrays.end_part()
    for name, count in zip(IDS, (arrays.n_users, n_items), strict=True):
        writer = IdWriter(folder / f"{name}.parquet", pa.int64())
        writer.append(pa.array(np.arange(count)))
        sums[name] = writer.finish()
    arrays.finish(n_items, sums)
    arrays.close()


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


def fit(source: Path | int, n_items: int, n_dims: int) -> Row:
    """Train an epoch on a data set in a folder, or on so many pairs in memory."""
    before, peak, is_over = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(SECONDS_BETWEEN_LOOKS):
            peak[0] = max(peak[0], anonymous())

    epoch = [0.0]
    run = ScheduledJob.run

    def timed(job: ScheduledJob, begin: int, end: int) -> Any:
        begun = time.process_time()
        counters = run(job, begin, end)
        epoch[0] += time.process_time() - begun
        return counters

    ScheduledJob.run = timed  # type: ignore[method-assign]
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        train = matrix(source, n_items) if isinstance(source, int) else Dataset.open(source)
        begun = time.process_time()
        # With these two there is nothing to choose by short trainings.
        chosen = {"temperature": 0.3, "user_retention": 1.0}
        one = Trainer(
            n_dims=n_dims, n_epochs=1, **chosen, n_threads=1, device="cpu", verbose=False
        ).fit(train)
        seconds = time.process_time() - begun
    finally:
        is_over.set()
        watcher.join()
        ScheduledJob.run = run  # type: ignore[method-assign]
    return {
        "pairs": train.nnz,
        "users": train.shape[0],
        "bytes of likes": 4 * train.nnz + 8 * (train.shape[0] + 1),
        "pairs per CPU-second": rate(train.nnz, epoch[0]),
        "CPU-seconds of the epoch": round(epoch[0], 2),
        "CPU-seconds of the fit": round(seconds, 2),
        "peak anonymous bytes": max(peak[0], anonymous()) - before,
        "loss": one.history_[0].loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000_000, help="in files")
    parser.add_argument("--in-memory", type=int, default=20_000_000, help="pairs in memory")
    parser.add_argument("--n-items", type=int, default=50_000)
    parser.add_argument("--n-dims", type=int, default=16)
    parser.add_argument("--work", type=Path, default=Path("build/beyond-memory"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    folder = args.work / "likes"
    rows = {}
    try:
        begun = time.process_time()
        write(folder, args.pairs, args.n_items)
        print(f"written in {time.process_time() - begun:.0f} CPU-seconds", file=sys.stderr)
        for name, source in (("memory", args.in_memory), ("files", folder)):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                rows[name] = pool.submit(fit, source, args.n_items, args.n_dims).result()
            row = rows[name]
            print(
                f"{name:8}{row['pairs']:14,} pairs{row['pairs per CPU-second']:12,.0f} pairs/CPU-s"
                f"{row['CPU-seconds of the fit']:10.1f} CPU-s"
                f"{row['peak anonymous bytes'] / MB:10.0f} MB"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
