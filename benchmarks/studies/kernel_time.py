"""Builds of the compiled module, trained side by side: speed, and whether the bits agree.

    python -m benchmarks.studies.kernel_time OLD/_core.so NEW/_core.so

A process for each build trains the same pairs in turn, for many rounds, in an order that changes
from round to round. Of the CPU times, the ratios within rounds are what counts: other work on the
machine disturbs the builds alike. After the last round the tables of all builds must be the same to
the bit; the exit status says whether they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..common import results_file
from ..common.clock import rate, ratio
from ..common.other_core import use_core

MODULE = "benchmarks.studies.kernel_time"
ROOT = Path(__file__).resolve().parents[2]


def work(module: str, name: str, folder: str, pairs: int, arguments: dict[str, Any]) -> None:
    """Answer each line of stdin with seconds per pair of the next epoch, and a hash at the end."""
    use_core(module)
    from ..common import datasets
    from ..common.training_job import TrainingJob, random_tables

    likes = datasets.load(name, Path(folder))[0].matrix
    kept = []

    def make_tables(*of: Any) -> Any:
        kept.append(random_tables(*of))
        return kept[0]

    job = TrainingJob(likes, "cpu", make_tables=make_tables, **arguments)
    n_pairs = min(max(pairs // job.launch_granularity, 1) * job.launch_granularity, likes.nnz)
    for epoch, _ in enumerate(sys.stdin):
        began = time.process_time()
        job.run(epoch * likes.nnz, epoch * likes.nnz + n_pairs)
        print((time.process_time() - began) / n_pairs, flush=True)
    digest = hashlib.sha256()
    for table in kept[0].arrays.values():
        digest.update(table.tobytes())
    print(digest.hexdigest(), flush=True)


class Worker:
    """A process that trains with one of the builds."""

    def __init__(self, module: Path, instruction_set: str, *job: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(module), "--job", json.dumps(job)],
            cwd=ROOT,
            env={**os.environ, "CML_FAST_ISA": instruction_set},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> str:
        """The hash of what was trained."""
        return self._process.communicate()[0].strip()


def measure(workers: list[Worker], rounds: int) -> dict[str, Any]:
    """Pairs per CPU-second of each build, speeds as multiples of the first one's, hashes."""
    for worker in workers:
        worker.seconds()  # tables and code come into the caches
    measured: list[list[float]] = []
    for k in range(rounds):
        seconds = [0.0] * len(workers)
        for i in range(len(workers)) if k % 2 == 0 else reversed(range(len(workers))):
            seconds[i] = workers[i].seconds()
        measured.append(seconds)
    return {
        "pairs/s": [rate(1, statistics.median(times)) for times in zip(*measured, strict=True)],
        "speed": [
            statistics.median(ratio(times[0], times[i]) for times in measured)
            for i in range(len(workers))
        ],
        "hashes": [worker.end() for worker in workers],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="+", type=Path, help="compiled modules, the old one first")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--names", nargs="+", default=["gowalla", "citeulike-t", "ml-latest-small"])
    parser.add_argument("--instruction-sets", nargs="+", default=["x86-64-v4"])
    parser.add_argument("--n-threads", nargs="+", type=int, default=[1])
    parser.add_argument("--loss", default="softmax")
    parser.add_argument("--update", default="sync")
    parser.add_argument("--n-dims", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=32768, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        work(str(args.modules[0]), *json.loads(args.job))
        return
    from ..common import datasets

    folder = str(args.folder or datasets.DEFAULT_FOLDER)
    found: dict[str, Any] = {}
    for name in args.names:
        for instruction_set in args.instruction_sets:
            for n_threads in args.n_threads:
                arguments = {
                    "loss": args.loss,
                    "update": args.update,
                    "n_dims": args.n_dims,
                    "n_threads": n_threads,
                }
                job = (name, folder, args.pairs, arguments)
                workers = [Worker(path.resolve(), instruction_set, *job) for path in args.modules]
                what = f"{Path(name).name}, {instruction_set}, {n_threads} threads"
                found[what] = measure(workers, args.rounds)
                speeds = "  ".join(f"{speed:.3f}" for speed in found[what]["speed"])
                same = len(set(found[what]["hashes"])) == 1
                print(f"{what:40} {speeds}  {'same bits' if same else 'OTHER BITS'}", flush=True)
    path = results_file.write(MODULE, {"builds": found}, args.out)
    print(f"written: {path}", file=sys.stderr)
    if any(len(set(f["hashes"])) > 1 for f in found.values()):
        raise SystemExit("the builds trained other tables")


if __name__ == "__main__":
    main()
