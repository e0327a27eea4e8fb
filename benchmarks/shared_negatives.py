"""What it costs to have hundreds of negatives: pairs per CPU-second of one thread.

    python -m benchmarks.shared_negatives

Three ways to train, in turn, for several rounds, so that all see the same machine: the softmax with
256 negatives that the pairs of a tile share; the same with 256 negatives for each pair; and the
paper's loss with 20. Prints medians and ratios within rounds. The limit beside them is what the
machine's BLAS reaches in a large matrix product on one thread, and the share of it that the three
products of a tile make up: 6 U r operations a pair.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._arguments import check_settings
from cml_fast._backend import Settings, Tables, make_job

from . import datasets, results_file

SHARED, UNSHARED, WARP = "shared", "unshared", "warp"
PAIRS = {SHARED: 65536, UNSHARED: 2048, WARP: 65536}


def settings_of(what: str, update: str, shape: tuple[int, int], n_dims: int) -> Settings:
    loss = "warp" if what == WARP else "softmax"
    trainer = Trainer(loss=loss, n_dims=n_dims, update=update, temperature=0.21, n_threads=1)
    settings = check_settings(trainer, shape)
    return replace(settings, tile_size=1) if what == UNSHARED else settings


class Way:
    """One way to train, which goes on where it was."""

    def __init__(self, likes: sp.csr_array, settings: Settings, pairs: int) -> None:
        unit = settings.batch_size or settings.tile_size
        self.pairs = min(pairs, likes.nnz) // unit * unit
        rng = np.random.default_rng(0)
        self.tables = Tables.random(
            "cpu",
            likes.shape,
            settings.n_dims,
            settings.max_norm,
            rng,
            per_row=settings.per_row,
        )
        self.job = make_job(self.tables, likes, settings)
        self.epoch = 0
        self.n_pairs = likes.nnz

    def seconds_per_pair(self) -> float:
        begin = self.epoch * self.n_pairs
        self.epoch += 1
        start = time.process_time()
        self.job.run(begin, begin + self.pairs)
        return (time.process_time() - start) / self.pairs


def blas_flops(size: int = 1024) -> float:
    a, b = np.ones((2, size, size), dtype=np.float32)
    start = time.process_time()
    for _ in range(5):
        a @ b
    return 5 * 2 * size**3 / (time.process_time() - start)


def run(name: str, update: str, args: argparse.Namespace) -> dict[str, Any]:
    likes = datasets.load(name, args.folder)[0].matrix
    ways = {}
    for what, pairs in PAIRS.items():
        settings = settings_of(what, update, likes.shape, args.n_dims)
        ways[what] = Way(likes, settings, pairs)
    for way in ways.values():
        way.seconds_per_pair()  # warm-up
    blas_flops()
    rounds: list[dict[str, float]] = []
    for _ in range(args.rounds):
        times = {what: way.seconds_per_pair() for what, way in ways.items()}
        reached = 6 * 256 * args.n_dims / times[SHARED] / blas_flops()
        rounds.append(
            {
                **{f"{what}, pairs/s": 1 / seconds for what, seconds in times.items()},
                "shared / unshared": times[UNSHARED] / times[SHARED],
                "shared / warp": times[WARP] / times[SHARED],
                "products / BLAS": reached,
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
            results[f"{name}, {update}"] = found = run(name, update, args)
            print(f"\n{name}, {update}, r = {args.n_dims}")
            for key, values in found.items():
                print(
                    f"  {key:22} {values['median']:12,.3f}   "
                    f"({values['least']:,.3f} to {values['most']:,.3f})"
                )
    path = results_file.write("shared-negatives", {"n_dims": args.n_dims, **results}, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
