"""How many users get recommendations per second and core, beside faiss and implicit.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python -m benchmarks.studies.bulk

Among as many items as the largest data set of Hsieh et al. (WWW 2017), EchoNest, has, the nearest
are found for a sample of users: with `Model.recommend`, with faiss's `IndexFlatL2`, and with
implicit's `recommend` on vectors that have one more coordinate, so that inner products rank like
distances. All run in turn, in one process on one core. `limit` is the matrix product of all scores
alone, in tiles that stay in the cache: every exact search by floating-point products needs that
time. `file` is `Model.recommend_all`, which also writes the file.

``--whole`` only writes the file for all users, not for a sample, and reports the peak of memory.

The vectors are made up, or those of a .npz file with arrays ``users`` and ``items``.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pyarrow import parquet

from cml_fast import Model

from ..common import results_file
from ..common.clock import rate, ratio, timed

MODULE = "benchmarks.studies.bulk"
N_ITEMS, N_DIMS = 260_417, 100
# Made-up vectors: around so many tastes, in the unit ball.
N_TASTES, TASTE_LENGTH, SPREAD = 64, 0.8, 0.06
TILE = 256, 1024
Searches = dict[str, Callable[[], Any]]


def made_up(n: int, rng: np.random.Generator, tastes: np.ndarray) -> np.ndarray:
    vectors = TASTE_LENGTH * tastes[rng.integers(0, len(tastes), n)]
    vectors += SPREAD * rng.standard_normal(vectors.shape, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1)).astype(np.float32)


def vectors(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if args.vectors:
        with np.load(args.vectors) as kept:
            users, items = kept["users"], kept["items"]
        if args.whole:
            return users, items
        return users[rng.choice(len(users), args.users, replace=False)], items
    tastes = rng.standard_normal((N_TASTES, N_DIMS), dtype=np.float32)
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    return made_up(args.users, rng, tastes), made_up(args.items, rng, tastes)


def products(users: np.ndarray, items: np.ndarray) -> None:
    """The scores alone, thrown away."""
    scores = np.empty(TILE, dtype=np.float32)
    for first in range(0, len(users), TILE[0]):
        some = users[first : first + TILE[0]]
        for begin in range(0, len(items), TILE[1]):
            part = items[begin : begin + TILE[1]]
            np.matmul(some, part.T, out=scores[: len(some), : len(part)])


def searches(users: np.ndarray, items: np.ndarray, n: int, folder: Path) -> Searches:
    import faiss
    from implicit.cpu.als import AlternatingLeastSquares

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatL2(items.shape[1])
    flat.add(items)
    theirs = AlternatingLeastSquares(num_threads=1)
    halves = -np.einsum("ij,ij->i", items, items) / 2
    theirs.user_factors = np.column_stack([users, np.ones(len(users), dtype=np.float32)])
    theirs.item_factors = np.column_stack([items, halves])
    model = Model(users, items)
    rows = np.arange(len(users))
    return {
        "limit": lambda: products(users, items),
        "cml_fast": lambda: model.recommend(rows, n)[0],
        "cml_fast, file": lambda: model.recommend_all(folder / "recs.parquet", n, overwrite=True),
        "faiss": lambda: flat.search(users, n)[1],
        "implicit": lambda: theirs.recommend(rows, None, n, filter_already_liked_items=False)[0],
    }


def measure(users: np.ndarray, items: np.ndarray, n: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        ways = searches(users, items, n, Path(folder))
        same = np.mean(ways["cml_fast"]() == ways["faiss"]())
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, search in ways.items():
                seconds[name].append(timed("cpu", search)["cpu_seconds"])
    speeds = {name: rate(len(users), median(of)) for name, of in seconds.items()}
    best = max(speeds["faiss"], speeds["implicit"])
    return {
        "n": n,
        "users per CPU-second": {name: float(f"{speed:.4g}") for name, speed in speeds.items()},
        "times the better of faiss and implicit": round(ratio(speeds["cml_fast"], best), 2),
        "share of the limit": round(ratio(speeds["cml_fast"], speeds["limit"]), 2),
        "same items as faiss": round(float(same), 4),
        "CPU-seconds of each round": seconds,
    }


def whole(users: np.ndarray, items: np.ndarray, n: int) -> dict[str, Any]:
    """Write the recommendations for all users to a file."""
    model = Model(users, items)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "recommendations.parquet"
        seconds = timed("cpu", lambda: model.recommend_all(out, n))
        table = parquet.ParquetFile(out)
        rows, size = table.metadata.num_rows, out.stat().st_size
    return {
        "n": n,
        **{name.replace("_", " "): round(value, 1) for name, value in seconds.items()},
        "users per CPU-second": float(f"{rate(len(users), seconds['cpu_seconds']):.4g}"),
        "rows of the file": rows,
        "MB of the file": round(size / 1e6, 1),
        "MiB at the peak before": before,
        "MiB at the peak": peak_memory(),
    }


def peak_memory() -> int:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, default=8192, help="the size of the sample")
    parser.add_argument("--items", type=int, default=N_ITEMS)
    parser.add_argument("--vectors", type=Path, help="a .npz file (default: made-up vectors)")
    parser.add_argument("--n", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--whole", action="store_true", help="write the file for all users")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(variable) != "1":
            raise SystemExit(f"set {variable}=1: each search is to run on one core")
    users, items = vectors(args)
    results = []
    for n in args.n:
        found = whole(users, items, n) if args.whole else measure(users, items, n, args.rounds)
        results.append(found)
        print({k: v for k, v in results[-1].items() if k[:3] != "CPU"}, file=sys.stderr)
    details = {
        "kernels of OpenBLAS": os.environ.get("OPENBLAS_CORETYPE", "chosen by itself"),
        "versions": results_file.versions(("numpy", "faiss-cpu", "implicit")),
        "users": len(users),
        "items": len(items),
        "results": results,
    }
    print(f"written: {results_file.write(MODULE, details, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
