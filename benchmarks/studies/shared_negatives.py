"""What hundreds of negatives cost: pairs per CPU-second of one thread.

    python -m benchmarks.studies.shared_negatives

Measures four methods in turn for several rounds: the softmax with 256 negatives that 128 pairs
share; the same with 256 negatives for each pair; and the paper's loss with negatives for each pair
and with those that 32 pairs share. Prints medians, and ratios within rounds. "products / BLAS"
compares the three matrix products of the softmax (6 U r operations a pair) with a large matrix
product of the machine's BLAS on one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads

import scipy.sparse as sp

from ..common import datasets, results_file
from ..common.clock import rate, ratio
from ..common.machine_speed import matrix_product_flops
from ..common.training_job import TrainingJob

MODULE = "benchmarks.studies.shared_negatives"
SHARED, UNSHARED, WARP, SHARED_WARP = "shared", "unshared", "warp", "shared warp"
ARGUMENTS: dict[str, dict[str, Any]] = {
    SHARED: {"loss": "softmax"},
    UNSHARED: {"loss": "softmax", "tile_size": 1},
    WARP: {"loss": "warp"},
    SHARED_WARP: {"loss": "shared_warp"},
}
PAIRS = {SHARED: 65536, UNSHARED: 2048, WARP: 65536, SHARED_WARP: 65536}  # that are timed
N_NEGATIVES = 256  # of the softmax


class Method:
    """One method to train with; each measurement trains another epoch's pairs."""

    def __init__(self, what: str, likes: sp.csr_array, update: str, n_dims: int) -> None:
        self.job = TrainingJob(
            likes, "cpu", n_dims=n_dims, update=update, n_threads=1, **ARGUMENTS[what]
        )
        settings = self.job.settings
        unit = settings.batch_size or settings.tile_size
        self.pairs = min(PAIRS[what], likes.nnz) // unit * unit
        self.begin, self.n_pairs = 0, likes.nnz

    def seconds_per_pair(self) -> float:
        start = time.process_time()
        self.job.run(self.begin, self.begin + self.pairs)
        self.begin += self.n_pairs
        return (time.process_time() - start) / self.pairs


def run(name: str, update: str, args: argparse.Namespace) -> dict[str, Any]:
    likes = datasets.load(name, args.folder)[0].matrix
    methods = {what: Method(what, likes, update, args.n_dims) for what in PAIRS}
    for method in methods.values():
        method.seconds_per_pair()  # warm-up
    matrix_product_flops()
    rounds: list[dict[str, float]] = []
    for _ in range(args.rounds):
        times = {what: method.seconds_per_pair() for what, method in methods.items()}
        products = rate(6 * N_NEGATIVES * args.n_dims, times[SHARED])
        rounds.append(
            {
                **{f"{what}, pairs/s": rate(1, seconds) for what, seconds in times.items()},
                "shared / unshared": ratio(times[UNSHARED], times[SHARED]),
                "shared / warp": ratio(times[WARP], times[SHARED]),
                "shared warp / warp": ratio(times[WARP], times[SHARED_WARP]),
                "products / BLAS": ratio(products, matrix_product_flops()),
            }
        )
    return {
        key: {
            "median": statistics.median(r[key] for r in rounds),
            "least": min(r[key] for r in rounds),
            "most": max(r[key] for r in rounds),
        }
        for key in rounds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=["citeulike-t", "gowalla"])
    parser.add_argument("--n-dims", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name in args.names:
        for update in ("sync", "async"):
            results[f"{Path(name).name}, {update}"] = found = run(name, update, args)
            print(f"\n{name}, {update}, r = {args.n_dims}")
            for key, values in found.items():
                print(
                    f"  {key:22} {values['median']:12,.3f}   "
                    f"({values['least']:,.3f} to {values['most']:,.3f})"
                )
    path = results_file.write(MODULE, {"n_dims": args.n_dims, **results}, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
