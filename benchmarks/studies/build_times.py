"""CPU-seconds of an installation, and of make's targets, from a clean clone.

    python -m benchmarks.studies.build_times [--cuda AUTO] [--runs 3] [--targets demo test]

Each run clones the last commit, makes a virtual environment (not counted) and runs `pip install .`
in it, first without dependencies: this is what compiling takes, with the build tools that pip
fetches for it. Then the dependencies are installed. Downloads are cached by pip as usual. Last come
the targets, each from a clone of its own, with the virtual environment that it makes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..common import results_file

ROOT = Path(__file__).resolve().parents[2]


def cpu_seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU-seconds of a command and its children, and wall seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - began


def clone(folder: Path, name: str) -> Path:
    command = ["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", name]
    subprocess.run(command, cwd=folder, check=True)
    return folder / name


def one_run(cuda: str, targets: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = clone(folder, "install")
        subprocess.run([sys.executable, "-m", "venv", "environment"], cwd=folder, check=True)
        install = [str(folder / "environment/bin/python"), "-m", "pip", "install", "--quiet"]
        define = f"--config-settings=cmake.define.CML_CUDA={cuda}"
        build, build_wall = cpu_seconds([*install, "--no-deps", define, "."], source)
        dependencies, _ = cpu_seconds([*install, "cml-fast"], folder)  # of what is there already
        taken = {"build": build, "dependencies": dependencies, "build, wall": build_wall}
        for target in targets:
            source = clone(folder, target)
            used, wall = cpu_seconds(["make", target, f"CML_CUDA={cuda}"], source)
            taken |= {f"make {target}": used, f"make {target}, wall": wall}
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cuda", choices=("OFF", "AUTO", "ON"), default="OFF")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--targets", nargs="*", default=[], choices=("demo", "test"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    runs: list[dict[str, float]] = []
    for _ in range(args.runs):
        runs.append({what: round(x, 1) for what, x in one_run(args.cuda, args.targets).items()})
        print(runs[-1], flush=True)
    totals = [run["build"] + run["dependencies"] for run in runs]
    result: dict[str, Any] = {
        "machine": results_file.host(),
        "seconds": runs,
        "median": {
            **{what: statistics.median(run[what] for run in runs) for what in runs[0]},
            "build and dependencies": round(statistics.median(totals), 1),
        },
    }
    print(result["median"], results_file.write("benchmarks.studies.build_times", result, args.out))


if __name__ == "__main__":
    main()
