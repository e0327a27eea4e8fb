"""Exact search on a device: the rows and distances of the CPU's, and how fast it is.

    python -m benchmarks.gpu_check.searches

Prints one JSON object a case: first searches, which must be "equal" to the CPU's, then times. The
kernel that selects candidates has to read every score: `bytes_per_second` counts 4 bytes each, and
is compared with a copy in the device's memory.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import _core
from cml_fast._search.exact import nearest
from cml_fast._search.on_device import nearest_on_cuda

from ..common.clock import rate, timed
from ..throughput.limits import LARGE_COPY, copy

# Queries, points, dimensions, n, and the share of pairs that are excluded.
Case = tuple[int, int, int, int, float]
CASES: list[Case] = [
    (300, 100, 8, 100, 0.5),
    (300, 5_000, 33, 10, 0.02),
    (200, 50_000, 100, 100, 0.001),
    (50, 200_000, 20, 2_000, 0.0),
    (40, 300_000, 64, 1, 0.0),
]
ROWS, COLUMNS = 512, 260_416  # of the scores that are timed
WANTED = (10, 100, 1_000, 10_000)
QUERIES, DIMS = 4096, 100  # of the whole search that is timed, for WANTED[0] of COLUMNS points
PRODUCT_ROWS = 1024
REPETITIONS = 3


def some_vectors(rng: np.random.Generator, n: int, n_dims: int) -> np.ndarray:
    """Half of them with coordinates from a coarse grid, so that many distances are equal."""
    vectors = rng.standard_normal((n, n_dims), dtype=np.float32)
    vectors[::2] = np.round(vectors[::2])
    return vectors


def compare_with_the_cpu(case: Case, device: str) -> dict[str, Any]:
    """Search on both."""
    m, p, n_dims, n, share = case
    rng = np.random.default_rng(1)
    queries, points = some_vectors(rng, m, n_dims), some_vectors(rng, p, n_dims)
    pairs = np.unique(rng.integers(m * p, size=int(share * m * p)))
    exclude = sp.csr_array((np.ones(len(pairs)), np.divmod(pairs, p)), shape=(m, p))
    find = nearest_on_cuda if device == "cuda" else nearest
    found, expected = (search(queries, points, n, exclude) for search in (find, nearest))
    return {
        "queries": m,
        "points": p,
        "n_dims": n_dims,
        "n": n,
        "excluded": len(pairs),
        "equal": all(np.array_equal(*both) for both in zip(found, expected, strict=True)),
        "different_rows": int((found[0] != expected[0]).any(axis=1).sum()),
    }


def time_of_selection(rows: int, columns: int, wanted: tuple[int, ...]) -> list[dict[str, Any]]:
    """Seconds of our kernel and of CuPy's functions for the same scores."""
    import cupy

    rng = np.random.default_rng(2)
    scores = cupy.asarray(rng.standard_normal((rows, columns), dtype=np.float32))
    memory = copy("cuda", LARGE_COPY["cuda"])
    found = []
    for n in wanted:
        numbers = cupy.empty(2 * rows + 1, dtype=cupy.int64)
        select = partial(
            _core.cuda_select,
            scores=scores,
            indptr=cupy.zeros(rows + 1, dtype=cupy.int64),
            indices=cupy.zeros(0, dtype=cupy.int32),
            n=n,
            slack=cupy.zeros(rows, dtype=cupy.float32),
            columns=cupy.empty(2 * rows * n, dtype=cupy.int32),
            found=numbers,
            stream=cupy.cuda.get_current_stream().ptr,
        )
        seconds = fastest(select)
        others = {
            f"{function.__name__}_seconds": fastest(partial(function, scores, n - 1, axis=1))
            for function in (cupy.partition, cupy.argpartition)
        }
        found.append(
            {
                "rows": rows,
                "columns": columns,
                "n": n,
                "selected": int(numbers.get()[0]),
                "seconds": seconds,
                "bytes_per_second": rate(4 * rows * columns, seconds),
                "copy_bytes_per_second": memory,
                **others,
            }
        )
    return found


def time_of_search(m: int, p: int, n_dims: int, n: int) -> dict[str, Any]:
    """Queries a second of a whole search, and of its matrix product alone."""
    rng = np.random.default_rng(3)
    queries, points = (rng.standard_normal((k, n_dims), dtype=np.float32) for k in (m, p))
    exclude = sp.csr_array((m, p), dtype=np.float32)
    whole = fastest(lambda: nearest_on_cuda(queries, points, n, exclude))
    return {
        "queries": m,
        "points": p,
        "n_dims": n_dims,
        "n": n,
        "queries_per_second": rate(m, whole),
        "product_queries_per_second": speed_of_product(queries[:PRODUCT_ROWS], points),
    }


def speed_of_product(queries: np.ndarray, points: np.ndarray) -> float:
    import cupy

    scores = cupy.empty((len(queries), len(points)), dtype=cupy.float32)
    product = partial(cupy.dot, cupy.asarray(queries), cupy.asarray(points).T, out=scores)
    return rate(len(queries), fastest(product))


def fastest(action: Callable[[], object]) -> float:
    action()  # touches memory and loads code for the first time
    return min(timed("cuda", action)["wall_seconds"] for _ in range(REPETITIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    for case in CASES:
        print(json.dumps(compare_with_the_cpu(case, args.device)), flush=True)
    if args.device == "cuda":
        for times in time_of_selection(ROWS, COLUMNS, WANTED):
            print(json.dumps(times), flush=True)
        print(json.dumps(time_of_search(QUERIES, COLUMNS, DIMS, WANTED[0])), flush=True)


if __name__ == "__main__":
    main()
