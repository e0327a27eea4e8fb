"""CPU-seconds of the command line before it does anything: its help, and a small model's answer.

python -m benchmarks.studies.start_times [--runs 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cml_fast import Model

COMMANDS = (
    ("--help",),
    ("train", "--help"),
    ("recommend", "--help"),
    ("similar", "model", "--item", "0"),
)


def cpu_seconds(words: tuple[str, ...], folder: Path) -> float:
    """CPU-seconds of one call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "cml_fast", *words]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        vectors = np.random.default_rng(0).standard_normal((10, 4))
        Model(vectors, vectors).save(Path(name, "model"))
        for words in COMMANDS:
            taken = [cpu_seconds(words, Path(name)) for _ in range(runs)]
            print(f"cml-fast {' '.join(words):30} {statistics.median(taken):.2f} s")


if __name__ == "__main__":
    main()
