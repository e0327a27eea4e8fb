"""What bfloat16 costs: validation recall@50 and NDCG@20 of trainings with either precision.

    python -m benchmarks.studies.precision

Trainings with the defaults, on a CPU, which rounds as a GPU does: they differ in the precision, the
loss and the seed. All of their epochs are trained, and the best one is evaluated on all validation
users. The table shows means over the seeds and standard deviations; and of the differences between
the precisions, with the same seed, the mean, its standard error and the largest. The test parts are
not used. Finished trainings are kept in ``--work``: the same command continues where it was
interrupted.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from ..common import datasets, results_file
from ..common.measurement_store import MeasurementStore
from .hyperparameters import train

MODULE = "benchmarks.studies.precision"
PRECISIONS = ("float32", "bfloat16")
LOSSES = ("softmax", "contrastive", "shared_warp")
METRICS = ("recall@50", "ndcg@20")
N_EPOCHS = 22  # the default
DIGITS = 6

Measured = dict[str, list[float]]  # by precision, one for each seed


def measure(
    name: str, loss: str, args: argparse.Namespace, store: MeasurementStore
) -> dict[str, Measured]:
    """Both metrics with both precisions."""
    parts = datasets.load(name, args.folder)
    found: dict[str, Measured] = {
        metric: {precision: [] for precision in PRECISIONS} for metric in METRICS
    }
    for seed in args.seeds:
        for precision in PRECISIONS:
            setting = {"loss": loss, "precision": precision}
            row = store.once(
                f"{name}, {loss}, {precision}, {args.n_epochs} epochs, seed {seed}",
                lambda setting=setting, seed=seed: train(
                    parts, setting, seed, args.n_epochs, args.threads
                ),
            )
            for metric in METRICS:
                found[metric][precision].append(round(row[metric], DIGITS))
    return found


def summary(measured: Measured) -> dict[str, Any]:
    """Of one metric: all values, means, standard deviations, differences with the same seed."""
    differences = [b - a for a, b in zip(*(measured[p] for p in PRECISIONS), strict=True)]
    return {
        "values": measured,
        "mean": {p: round(statistics.fmean(measured[p]), DIGITS) for p in PRECISIONS},
        "deviation": {p: deviation(measured[p]) for p in PRECISIONS},
        "difference": round(statistics.fmean(differences), DIGITS),
        "its error": round(deviation(differences) / math.sqrt(len(differences)), DIGITS),
        "largest difference": round(max(map(abs, differences)), DIGITS),
    }


def deviation(values: list[float]) -> float:
    """The standard deviation; NaN of a single value."""
    return round(statistics.stdev(values), DIGITS) if len(values) > 1 else math.nan


def show(title: str, metrics: dict[str, dict[str, Any]]) -> None:
    print(f"\n{title}")
    for metric, row in metrics.items():
        for precision in PRECISIONS:
            print(
                f"  {metric:10} {precision:10} {row['mean'][precision]:7.4f} "
                f"+- {row['deviation'][precision]:.4f}"
            )
        print(
            f"  {'':10} difference {row['difference']:+7.4f} +- {row['its error']:.4f}, "
            f"at most {row['largest difference']:.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--n-epochs", type=int, default=N_EPOCHS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/precision"))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    files = {name: content for name in args.names if (content := datasets.fingerprint(name))}
    store = MeasurementStore(args.work, {"files": files, "machine": results_file.machine()})
    results: dict[str, Any] = {}
    for name in args.names:
        results[Path(name).name] = {}
        for loss in args.losses:
            measured = measure(name, loss, args, store)
            found = {metric: summary(measured[metric]) for metric in METRICS}
            results[Path(name).name][loss] = found
            show(f"{Path(name).name}, {loss}", found)
    record = {"seeds": args.seeds, "n_epochs": args.n_epochs, "results": results}
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
