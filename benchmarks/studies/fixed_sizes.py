"""What kernels for rows of a fixed number of 32-element chunks bring, and take to compile.

    python -m benchmarks.studies.fixed_sizes

The compiled module is built three times: as the build has it (AUTO), with a kernel for each of the
first eight numbers of chunks (all), and with kernels for any number alone (NONE). A process for
each of them trains the same pairs in turn, for many rounds, and the ratios of CPU times within
rounds are what counts; a second process of the first one shows how exact they are (again).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..common import results_file
from ..common.clock import ratio
from ..common.other_core import use_core

MODULE = "benchmarks.studies.fixed_sizes"
ROOT = Path(__file__).resolve().parents[2]
VARIANTS = {"AUTO": "AUTO", "again": "AUTO", "all": "1;2;3;4;5;6;7;8", "NONE": "NONE"}
SHAPE, PAIRS = (4000, 3000), 150_000
TRAINED = {"warp": 65536, "softmax": 16384, "contrastive": 16384}  # pairs, in one measurement


def build(folder: Path, fixed_chunks: str) -> dict[str, Any]:
    """Build the compiled module; returns its path and the CPU-seconds of each kernel."""
    import pybind11

    settings = {
        "CML_CUDA": "OFF",
        "CML_FIXED_CHUNKS": fixed_chunks,
        "CMAKE_CXX_COMPILER_LAUNCHER": "/usr/bin/time;--format=CPU %U %S %C",
        "Python_EXECUTABLE": sys.executable,
        "SKBUILD_PROJECT_VERSION": "0.0.0",
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    output = ""
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(folder), *defined],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        output += done.stdout + done.stderr
        if done.returncode != 0:
            raise RuntimeError(output)
    times = re.findall(r"CPU ([\d.]+) ([\d.]+) .*?CMakeFiles/kernel_(\w+)\.dir", output)
    (module,) = folder.glob("_core*.so")
    return {
        "module": str(module),
        "seconds": {name: round(float(user) + float(system), 1) for user, system, name in times},
    }


def work(module: str) -> None:
    """Answer each line of stdin, the arguments of a training job, with seconds per pair."""
    use_core(module)
    from ..common.training_job import TrainingJob

    generator = np.random.default_rng(0)
    pairs = np.unique(generator.integers(SHAPE[0] * SHAPE[1], size=PAIRS))
    ones = np.ones(len(pairs), dtype=np.float32)
    likes = sp.csr_array((ones, divmod(pairs, SHAPE[1])), shape=SHAPE)
    jobs: dict[str, TrainingJob] = {}
    begins: dict[str, int] = {}
    for line in sys.stdin:
        if line not in jobs:
            jobs[line] = TrainingJob(likes, "cpu", n_threads=1, **json.loads(line))
            begins[line] = 0
        job, begin = jobs[line], begins[line]
        granularity = job.launch_granularity
        n_pairs = max(TRAINED[job.settings.loss] // granularity, 1) * granularity
        began = time.process_time()
        job.run(begin, begin + min(n_pairs, likes.nnz))
        print((time.process_time() - began) / n_pairs, flush=True)
        begins[line] += likes.nnz


class Worker:
    """A process that trains with one of the modules."""

    def __init__(self, module: str, instruction_set: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--work-for", module],
            cwd=ROOT,
            env={**os.environ, "CML_FAST_ISA": instruction_set},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, **arguments: Any) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate()


def measure(workers: dict[str, Worker], rounds: int, **arguments: Any) -> dict[str, float]:
    """Nanoseconds per pair of the first worker, and the ratios of the others to it."""
    names = list(workers)
    for worker in workers.values():
        worker.seconds(**arguments)  # tables and code come into the caches
    measured: list[dict[str, float]] = []
    for k in range(rounds):
        order = names if k % 2 == 0 else names[::-1]
        measured.append({name: workers[name].seconds(**arguments) for name in order})
    first = names[0]
    found = {f"{first}, ns": round(1e9 * statistics.median(m[first] for m in measured), 1)}
    for name in names[1:]:
        found[name] = round(statistics.median(ratio(m[name], m[first]) for m in measured), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n-dims", nargs="+", type=int, default=[32, 64, 100, 128, 192, 256])
    parser.add_argument("--losses", nargs="+", default=list(TRAINED))
    parser.add_argument("--instruction-sets", nargs="+", default=["x86-64-v3", "x86-64-v4"])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work-for", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work_for:
        work(args.work_for)
        return
    if shutil.which("/usr/bin/time") is None:
        parser.error("this needs GNU time in /usr/bin/time")

    speeds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        builds = {of: build(Path(name) / str(k), of) for k, of in enumerate({*VARIANTS.values()})}
        for instruction_set in args.instruction_sets:
            workers = {
                variant: Worker(builds[of]["module"], instruction_set)
                for variant, of in VARIANTS.items()
            }
            for loss, update, n_dims in itertools.product(
                args.losses, ("async", "sync"), args.n_dims
            ):
                what = f"{instruction_set}, {loss}, {update}, {n_dims}"
                speeds[what] = measure(
                    workers, args.rounds, loss=loss, update=update, n_dims=n_dims
                )
                print(what, speeds[what], flush=True)
            for worker in workers.values():
                worker.end()
    result = {
        "machine": results_file.host(),
        "seconds to compile": builds[VARIANTS["all"]]["seconds"],
        "time per pair, ratios to AUTO": speeds,
    }
    print(results_file.write(MODULE, result, args.out))


if __name__ == "__main__":
    main()
