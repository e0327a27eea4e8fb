"""How fast tables are read, and how much memory that takes, beside polars' own scan.

    python -m benchmarks.studies.reading --pairs 100000000

Made-up interactions of a million users are written to a csv and a Parquet file. Each reader runs in
a process of its own. polars only reads the two columns of ids; `load_interactions` also codes the
ids and makes a sparse matrix of them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from cml_fast.data import load_interactions

from ..common import results_file

MODULE = "benchmarks.studies.reading"
N_USERS, N_ITEMS = 1_000_000, 200_000
TAIL, SCALE = 1.0, 1000  # of the popularity of items, a Pareto distribution
FIRST_TIME, LAST_TIME = 1_600_000_000, 1_700_000_000
BLOCK_ROWS = 5_000_000
KIB_PER_GIB = 1 << 20


def write_files(folder: Path, n_pairs: int) -> list[Path]:
    """Write the same random interactions as csv and Parquet, block by block."""
    rng = np.random.default_rng(0)
    paths = [folder / "likes.csv", folder / "likes.parquet"]
    schema = pa.schema([("user", pa.int64()), ("item", pa.int64()), ("timestamp", pa.int64())])
    with paths[0].open("wb") as text, pyarrow.parquet.ParquetWriter(paths[1], schema) as parquet:
        text.write(b"user,item,timestamp\n")
        for begin in range(0, n_pairs, BLOCK_ROWS):
            n = min(BLOCK_ROWS, n_pairs - begin)
            items = (rng.pareto(TAIL, n) * SCALE).astype(np.int64) % N_ITEMS
            times = rng.integers(FIRST_TIME, LAST_TIME, n)
            table = pa.table([rng.integers(0, N_USERS, n), items, times], schema=schema)
            pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(include_header=False))
            parquet.write_table(table)
    return paths


def with_load_interactions(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random pairs repeat
        report = load_interactions(path).report
    assert report is not None
    return report.kept


def with_times(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = load_interactions(path, timestamp="timestamp").report
    assert report is not None
    return report.kept


def with_polars(path: Path) -> int:
    import polars as pl

    scan = pl.scan_csv(path) if path.suffix == ".csv" else pl.scan_parquet(path)
    return len(scan.select("user", "item").collect(engine="streaming"))


READERS: dict[str, Callable[[Path], int]] = {
    "load_interactions": with_load_interactions,
    "load_interactions, timestamps": with_times,
    "polars": with_polars,
}


def measure(reader: str, path: Path) -> dict[str, float]:
    """Read a file; pairs, CPU-seconds and the peak memory of this process."""
    begin = time.process_time()
    n_pairs = READERS[reader](path)
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GIB
    rate = n_pairs / seconds if seconds else float("inf")
    return {
        "pairs": n_pairs,
        "CPU-seconds": round(seconds, 2),
        "pairs per CPU-second": round(rate),
        "peak GiB": round(peak, 2),
    }


def in_own_process(reader: str, path: Path) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, reader, path).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="for the files (default: a temporary one)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for path in write_files(Path(folder), args.pairs):
            size = round(path.stat().st_size / 2**30, 2)
            results[path.suffix] = {"file GiB": size}
            for reader in READERS:
                found = in_own_process(reader, path)
                results[path.suffix][reader] = found
                print(path.suffix, reader, found, file=sys.stderr)
    details = {
        "versions": results_file.versions(("numpy", "pyarrow", "polars")),
        "results": results,
    }
    print(f"written: {results_file.write(MODULE, details, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
