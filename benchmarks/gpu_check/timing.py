"""Trained pairs per second, and how the bytes that they move compare with a plain copy.

    python -m benchmarks.gpu_check.timing

Prints one JSON object a measurement: first the bandwidth of a copy, then each kernel. CUDA events
around a launch measure it; a first launch warms up, and each of the next ones trains other pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast._backend import Settings, Tables, make_job

from ..speed import pair_cost

N_NEGATIVES = 20
DIMS = (100, 128)
BATCH_SIZES = (0, 1024, 4096, 16384, 65536)  # 0: asynchronous
ROUNDS = 5
LAUNCH_PAIRS = 2_000_000  # at most
COPY_BYTES = 1 << 30


@dataclass(frozen=True)
class Size:
    """How much data: that of gowalla, which nearly fits the cache of a large GPU, and more."""

    name: str
    n_users: int
    n_items: int
    n_pairs: int

    def times(self, scale: float) -> Size:
        numbers = (self.n_users, self.n_items, self.n_pairs)
        return Size(self.name, *(max(100, round(scale * number)) for number in numbers))


SIZES = (
    Size("gowalla's size", 30_000, 41_000, 800_000),
    Size("large", 1_000_000, 500_000, 20_000_000),
)


def random_likes(size: Size) -> sp.csr_array:
    """Likes of which some items have many more than others; a little fewer than asked for."""
    rng = np.random.default_rng(0)
    users = rng.integers(size.n_users, size=size.n_pairs)
    items = (size.n_items * rng.random(size.n_pairs) ** 2).astype(np.int64)
    pairs = np.sort(users * size.n_items + items)
    pairs = pairs[np.append(True, np.diff(pairs) > 0)]  # far quicker than np.unique
    weights = np.ones(len(pairs), dtype=np.float32)
    indptr = np.searchsorted(pairs, np.arange(size.n_users + 1) * size.n_items).astype(np.int32)
    indices = (pairs % size.n_items).astype(np.int32)
    return sp.csr_array((weights, indices, indptr), shape=(size.n_users, size.n_items))


def seconds(device: str, action: Callable[[], Any]) -> float:
    """How long the device works on it."""
    if device == "cpu":
        began = time.perf_counter()
        action()
        return time.perf_counter() - began
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    action()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1000


def copy_bandwidth(device: str, n_bytes: int) -> dict[str, Any]:
    """Bytes per second of a copy, the best of many; those read and those written both count."""
    if device == "cpu":
        xp: Any = np
    else:
        import cupy as xp
    source = xp.ones(n_bytes // 4, dtype=xp.float32)
    target = xp.zeros_like(source)
    times = [seconds(device, lambda: xp.copyto(target, source)) for _ in range(20)]
    return {
        "copy": {
            "bytes": n_bytes,
            "bytes_per_second": 2 * n_bytes / min(times),
            "median_bytes_per_second": 2 * n_bytes / statistics.median(times),
        }
    }


def launches(n_pairs: int, batch_size: int) -> list[tuple[int, int]]:
    """Visits of a first launch and of ROUNDS more: parts of an epoch, or whole epochs of few pairs.
    Launches are of whole batches."""
    size = LAUNCH_PAIRS // max(batch_size, 1) * max(batch_size, 1)
    if (ROUNDS + 1) * size > n_pairs:
        size = n_pairs
    return [(i * size, (i + 1) * size) for i in range(ROUNDS + 1)]


def measure(
    device: str, tables: Tables, likes: sp.csr_array, n_threads: int, batch_size: int
) -> dict[str, Any]:
    """One kernel on one size of data."""
    settings = Settings(
        n_dims=tables.n_dims,
        n_negatives=N_NEGATIVES,
        margin=1.25,
        learning_rate=0.1,
        max_norm=1.0,
        n_threads=n_threads,
        seed=1,
        batch_size=batch_size,
    )
    job = make_job(tables, likes, settings)
    times, trained, active = [], 0, 0

    def launch(begin: int, end: int) -> None:
        nonlocal trained, active
        counters = job.run(begin, end)
        if counters.first_non_finite is not None:
            raise RuntimeError(f"a value was not finite at visit {counters.first_non_finite}")
        trained, active = counters.pairs, counters.active

    first, *rest = launches(likes.nnz, batch_size)
    launch(*first)
    for begin, end in rest:
        times.append(seconds(device, lambda begin=begin, end=end: launch(begin, end)))
    rates = [trained / each for each in times]  # all launches are of the same size
    cost = pair_cost(active / trained, tables.n_dims, N_NEGATIVES)
    return {
        "update": "sync" if batch_size else "async",
        "batch_size": batch_size,
        "launch_pairs": trained,
        "launch_seconds": times,
        "pairs_per_second": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "pair_cost": cost,
        "bytes_per_second": statistics.median(rates) * cost["bytes"],
    }


def measurements(device: str, scale: float, n_threads: int) -> Iterator[dict[str, Any]]:
    copy = copy_bandwidth(device, int(COPY_BYTES * scale))
    yield copy
    limit = copy["copy"]["bytes_per_second"]
    for size in (size.times(scale) for size in SIZES):
        likes = random_likes(size)
        for n_dims in DIMS:
            rng = np.random.default_rng(2)
            tables = Tables.random(device, likes.shape, n_dims, 1.0, rng)
            asynchronous = 0.0
            for batch_size in BATCH_SIZES:
                found = measure(device, tables, likes, n_threads, batch_size)
                rate = found["pairs_per_second"]
                asynchronous = asynchronous or rate
                yield {
                    "data": size.name,
                    "shape": likes.shape,
                    "pairs": likes.nnz,
                    "n_dims": n_dims,
                    **found,
                    "share_of_copy": found["bytes_per_second"] / limit,
                    "of_async": rate / asynchronous,
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of the data and the copy")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    args = parser.parse_args()
    for found in measurements(args.device, args.scale, args.threads):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
