"""The share of a training in which ``fit`` checks and copies what it is given.

    python -m benchmarks.studies.checks

The checks are made once, however many epochs there are, so the training has a single epoch here,
and nothing is chosen by trials: this is the least that a `fit` does. Both are CPU-seconds of one
process with one thread, taken in turn. The share has all checks of `fit`, whenever they were added.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from cml_fast import Trainer
from cml_fast._training.fit_inputs import check_fit_inputs
from cml_fast.data import Interactions

from ..common import datasets, results_file
from ..common.clock import ratio, timed

MODULE = "benchmarks.studies.checks"


def measure(train: Interactions, rounds: int) -> dict[str, float]:
    """Median CPU-milliseconds of the checks, and the median and spread of their share."""
    trainer = Trainer(n_epochs=1, temperature=0.2, n_threads=1, device="cpu", verbose=False)

    def check() -> None:
        check_fit_inputs(trainer, train, None, [], None, None)

    checks, shares = [], []
    for _ in range(rounds):
        seconds = timed("cpu", check)["cpu_seconds"]
        checks.append(seconds)
        shares.append(ratio(seconds, timed("cpu", lambda: trainer.fit(train))["cpu_seconds"]))
    return {
        "pairs": train.matrix.nnz,
        "checks, ms": round(1000 * statistics.median(checks), 3),
        "share of a fit, %": round(100 * statistics.median(shares), 4),
        "smallest, %": round(100 * min(shares), 4),
        "largest, %": round(100 * max(shares), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER, help="of the data")
    parser.add_argument("--names", nargs="+", default=datasets.NAMES)
    parser.add_argument("--rounds", type=int, default=17)
    parser.add_argument("--out", type=Path, help="the file for the result")
    given = parser.parse_args()
    found = {}
    for name in given.names:
        found[Path(name).name] = measure(datasets.load(name, given.folder)[0], given.rounds)
        print(name, found[Path(name).name])
    results_file.write(MODULE, found, given.out)


if __name__ == "__main__":
    main()
