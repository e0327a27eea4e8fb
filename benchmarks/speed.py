"""Trained pairs per second: one thread, two threads, every instruction set, mini-batches, LightFM.

    python -m benchmarks.speed --baseline-python lightfm-env/bin/python

All that is compared is measured in turn, A B C A B C ..., and a ratio is taken within a round, so
that a machine that is busy for a while slows all alike. Times are CPU times of whole ``fit``
calls (LightFM: ``fit_partial``), except for two threads, where wall times are compared. Updates
are asynchronous where it does not say mini-batches. The first
epoch is not timed. Both libraries then train the same epochs, because the cost of one changes as
a model learns. Reading and copying speeds of memory are measured in the same rounds, on a table of
the size of the item vectors; see memory.py.

LightFM draws at most max_sampled negatives, until one violates the margin; here all U are judged.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import scipy.sparse as sp

import cml_fast
from cml_fast import Trainer

from . import datasets, memory, results_file

N_DIMS, N_NEGATIVES, WARM_UP = 100, 20, 1
ROW_FLOATS = memory.padded(N_DIMS)
BASELINES = Path(__file__).resolve().parent / "baselines"
OURS, LIGHTFM, TWO_THREADS = "cml_fast", "lightfm", "cml_fast, 2 threads"
BATCHES, BATCHES_TWO_THREADS = "mini-batches", "mini-batches, 2 threads"

Sample = dict[str, Any]  # pairs, cpu_seconds, wall_seconds


def load_pairs(name: str, folder: Path) -> sp.csr_matrix:
    """gowalla's train part, or all pairs of a data set that is not published in parts."""
    parts = datasets.load(name, folder)
    return sp.csr_matrix(sum(part.matrix for part in parts[: 1 if name == "gowalla" else 3]))


def train_ours(
    pairs: sp.csr_matrix, n_epochs: int, n_threads: int, isa: str, update: str = "async"
) -> Sample:
    trainer = Trainer(
        loss="warp",
        n_dims=N_DIMS,
        n_negatives=N_NEGATIVES,
        update=update,
        n_threads=n_threads,
        n_epochs=WARM_UP,
        device="cpu",
        warm_start=True,
        verbose=False,
    )
    with patch.dict(os.environ, CML_FAST_ISA=isa):
        trainer.fit(pairs)
        trainer.n_epochs = n_epochs
        cpu, wall = time.process_time(), time.perf_counter()
        trainer.fit(pairs)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "pairs": pairs.nnz * n_epochs,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "active_share": statistics.fmean(report.active_share for report in trainer.history_),
    }


def train_lightfm(python: Path, pairs: Path, n_epochs: int) -> Sample:
    command = [python, BASELINES / "lightfm_warp.py", pairs, "--epochs", n_epochs]
    command += ["--warmup", WARM_UP, "--components", N_DIMS, "--max-sampled", N_NEGATIVES]
    run = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(run.stdout)  # type: ignore[no-any-return]


def pair_cost(
    active_share: float, n_dims: int = N_DIMS, n_negatives: int = N_NEGATIVES
) -> dict[str, float]:
    """Bytes moved and floating-point operations of a mean pair, counted in csrc/core/.

    A row is n_dims floats, padded to whole cache lines. Every pair reads the vectors of its user,
    its positive and U negatives. An active one also reads three rows of accumulators and writes
    these and their three vectors; reading those vectors once more is left out (they are in the
    innermost cache by then), and so are the searches among the likes.

    A distance takes 3 operations an element (-, *, +) for each of U + 1 items; an update 12 an
    element for each of three rows: gradient 2, accumulator 2, step 5, norm 2, scaling 1.
    """
    row_bytes = 4 * memory.padded(n_dims)
    return {
        "active_share": active_share,
        "bytes": (n_negatives + 2 + active_share * (3 + 6)) * row_bytes,
        "flops": (3 * (n_negatives + 1) + active_share * 12 * 3) * n_dims,
    }


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    pairs = load_pairs(name, args.data)
    best, *others = cml_fast.build_info()["instruction_sets"]
    ours = partial(train_ours, pairs, args.epochs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.npz"
        sp.save_npz(file, pairs)
        runs: dict[str, Callable[[], Any]] = {OURS: partial(ours, 1, best)}
        runs[BATCHES] = partial(ours, 1, best, "sync")
        if (results_file.machine()["cores"] or 1) > 1:
            runs[TWO_THREADS] = partial(ours, 2, best)
            runs[BATCHES_TWO_THREADS] = partial(ours, 2, best, "sync")
        if args.baseline_python:
            runs[LIGHTFM] = partial(train_lightfm, args.baseline_python, file, args.epochs)
        runs |= {isa: partial(ours, 1, isa) for isa in others}
        runs["bandwidths"] = partial(memory.bandwidths, pairs.shape[1], ROW_FLOATS)
        rounds = []
        for number in range(1, args.rounds + 1):
            print(f"{name}: round {number} of {args.rounds}", file=sys.stderr, flush=True)
            rounds.append({what: run() for what, run in runs.items()})
    cost = pair_cost(rounds[0][OURS]["active_share"])  # one thread: the same in every round
    return {
        "data": name,
        "shape": pairs.shape,
        "pairs": pairs.nnz,
        "pair_cost": cost,
        "instruction_set": best,
        "summary": summary(rounds, cost),
        "rounds": rounds,
    }


def summary(rounds: list[dict[str, Any]], cost: dict[str, float]) -> dict[str, list[float]]:
    """The numbers to look at, each with one value a round."""

    def rate(what: str, clock: str = "cpu_seconds") -> list[float]:
        return [r[what]["pairs"] / r[what][clock] for r in rounds]

    def ratio(a: list[float], b: list[float]) -> list[float]:
        return [x / y for x, y in zip(a, b, strict=True)]

    ours = rate(OURS)
    rows = {f"{OURS}, pairs per CPU-second": ours}
    for what in rounds[0]:
        if what == LIGHTFM:
            rows[f"{LIGHTFM}, pairs per CPU-second"] = rate(what)
            rows[f"{OURS} / {LIGHTFM}"] = ratio(ours, rate(what))
        elif what == TWO_THREADS:
            two, one = (rate(run, "wall_seconds") for run in (what, OURS))
            rows["speed of two threads / one, wall time"] = ratio(two, one)
        elif what == BATCHES:
            rows["mini-batches / asynchronous"] = ratio(rate(what), ours)
        elif what == BATCHES_TWO_THREADS:
            sync, free = (rate(run, "wall_seconds") for run in (what, TWO_THREADS))
            rows["the same, 2 threads, wall time"] = ratio(sync, free)
        elif what not in (OURS, "bandwidths"):
            rows[f"{what} / best instruction set"] = ratio(rate(what), ours)
    moved = [speed * cost["bytes"] for speed in ours]
    rows["GB per CPU-second"] = [speed / 1e9 for speed in moved]
    for what in rounds[0]["bandwidths"]:
        limits = [r["bandwidths"][what] for r in rounds]
        rows[f"{what}, GB per CPU-second"] = [limit / 1e9 for limit in limits]
        rows[f"reached of {what}"] = ratio(moved, limits)
    rows["Gflop per CPU-second"] = [speed * cost["flops"] / 1e9 for speed in ours]
    return rows


def show(result: dict[str, Any]) -> None:
    (users, items), cost = result["shape"], result["pair_cost"]
    print(f"\n{result['data']}: {users} users, {items} items, {result['pairs']} pairs")
    print(
        f"a pair: {cost['active_share']:.0%} active, {cost['bytes'] / 1000:.1f} kB, "
        f"{cost['flops'] / 1000:.1f} kflop; instruction set {result['instruction_set']}"
    )
    print(f"{'':38}   median    rounds")
    for what, values in result["summary"].items():
        listed = " ".join(f"{value:8.3g}" for value in values)
        print(f"{what:38}{statistics.median(values):9.3g}    {listed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=["citeulike-t", "gowalla"])
    parser.add_argument(
        "--baseline-python", type=Path, help="Python of an environment that has LightFM"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="timed, after one that is not")
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    if not args.baseline_python:
        requirements = (BASELINES / "lightfm_requirements.txt").read_text()
        print("no --baseline-python, so LightFM is not measured. How to make that environment:\n")
        print(requirements[: requirements.index("\n# --")])
    results = [measure(name, args) for name in args.names]
    for result in results:
        show(result)
    path = results_file.write("speed", {"epochs": args.epochs, "results": results}, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
