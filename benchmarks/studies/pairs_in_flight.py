"""What pairs in flight do to accuracy: asynchronous updates that all collide, beside mini-batches.

    python -m benchmarks.studies.pairs_in_flight

A GPU has many pairs in flight in asynchronous training. Each is trained from values that others
are changing, and makes a step of its own. Here as many pairs as a GPU may have in flight (a 32nd of
an epoch, at least 1,024; or several times as many) are trained from the same values on the CPU,
each as if it were alone, and what they changed is added up. That is the most that can collide: a
GPU reads most rows a moment before it changes them.

All fits of one data set have the temperature and the retention that the first one chose. Prints
means and standard deviations of the validation recall over seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file
from ..common.in_flight import InFlightTrainer

MODULE = "benchmarks.studies.pairs_in_flight"
TINY = "tiny"  # 50 users, and hardly more pairs than are in flight
SHARE, LEAST = 32, 1024  # csrc/cuda/train.cu, pairs_in_flight()
METRICS = ("recall@20", "recall@50")
DIGITS = 4


def load(name: str, folder: Path) -> datasets.Parts:
    if name != TINY:
        return datasets.load(name, folder)
    train, validation, test = split(synthetic(50, 200, 2000).interactions, (0.6, 0.2, 0.2), 0)
    return train, validation, test


def in_flight(n_pairs: int) -> int:
    return max(LEAST, n_pairs // SHARE)


def measure(trainer: Trainer, parts: datasets.Parts) -> dict[str, float]:
    train, validation, _ = parts
    found = evaluate(trainer.fit(train).model_, validation, exclude=[train], ks=(20, 50)).to_dict()
    return {metric: float(found[metric]) for metric in METRICS}


def run(name: str, loss: str, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    parts = load(name, args.folder)
    n_pairs = parts[0].matrix.nnz
    rows: dict[str, list[dict[str, float]]] = {}
    chosen: dict[str, float] = {}
    for seed in args.seeds:
        common = {"loss": loss, "random_state": seed, "device": "cpu", "verbose": False, **chosen}
        if args.epochs:
            common["n_epochs"] = args.epochs
        trainers = {"sync": Trainer(**common)}
        if not chosen and loss == "softmax":
            trainers["sync"].fit(parts[0])
            chosen = {
                "temperature": trainers["sync"].temperature_,
                "user_retention": trainers["sync"].user_retention_,
            }
            common |= chosen
            trainers["sync"] = Trainer(**common)
        alone = {**common, "update": "async", "n_threads": 1}
        trainers["one at a time"] = Trainer(**alone)
        for times in args.times:
            trainers[f"{times} x {in_flight(n_pairs):,} pairs"] = colliding = InFlightTrainer(
                **alone
            )
            colliding.in_flight = times * in_flight(n_pairs)
        for what, trainer in trainers.items():
            rows.setdefault(what, []).append(measure(trainer, parts))
    return {what: summary(of) for what, of in rows.items()}


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric in METRICS:
        values = [row[metric] for row in rows]
        deviation = round(statistics.stdev(values), DIGITS) if len(values) > 1 else None
        found[metric] = round(statistics.fmean(values), DIGITS)
        found[f"{metric} deviation"] = deviation
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=[TINY, "ml-latest-small", "citeulike-t"])
    parser.add_argument("--losses", nargs="+", default=["softmax"])
    parser.add_argument("--times", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="default: those of Trainer")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for name in args.names:
        for loss in args.losses:
            results[f"{Path(name).name}, {loss}"] = found = run(name, loss, args)
            print(f"\n{name}, {loss}")
            for what, of in found.items():
                figures = (
                    f"{metric} {of[metric]:.4f} ({of[f'{metric} deviation'] or float('nan'):.4f})"
                    for metric in METRICS
                )
                print(f"  {what:22}{'  '.join(figures)}", flush=True)
    print(f"written: {results_file.write(MODULE, results, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
