"""Training with features of items: what it gains, what it costs, and how much its settings matter.

    python -m benchmarks.studies.features

Trains with `Trainer().fit(train)`, and with ``item_features`` at the defaults and with one setting
changed, without validation data, as a user calls it. The recall is that on the validation part, and
of the two rows at their defaults also that on the test part. Costs are CPU-seconds of the whole
fit, the choice of the temperature included, and as a multiple of those of CML.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file
from ..common.measurement_store import MeasurementStore

MODULE = "benchmarks.studies.features"
WORK = Path("build/features")
NAMES = ("citeulike-t", "ml-latest-small")
METRICS = ("recall@50", "recall@100", "ndcg@20")
CML, WITH_FEATURES = "CML", "CML+F"
# Arguments of Trainer, by the name of their row.
ROWS: dict[str, dict[str, Any]] = {
    CML: {},
    WITH_FEATURES: {},
    "feature_weight=0": {"feature_weight": 0.0},
    "feature_weight=5": {"feature_weight": 5.0},
    "feature_weight=20": {"feature_weight": 20.0},
    "n_hidden=256": {"n_hidden": 256},
    "n_hidden=512": {"n_hidden": 512},
    "temperature=0.21": {"temperature": 0.21},
    "temperature=0.42": {"temperature": 0.42},
}
TESTED = (CML, WITH_FEATURES)
DIGITS = 5


def measure(name: str, row: str, seed: int, folder: Path) -> dict[str, float]:
    """Metrics and CPU-seconds of one fit."""
    train, validation, test = datasets.load(name, folder)
    given = {} if row == CML else {"item_features": datasets.features(name, train.item_ids, folder)}
    trainer = Trainer(**ROWS[row], random_state=seed, n_threads=1, device="cpu", verbose=False)
    begun = time.process_time()
    model = trainer.fit(train, **given).model_
    found: dict[str, float] = {"seconds": round(time.process_time() - begun, 2)}
    if trainer.temperature_ is not None:
        found["temperature"] = trainer.temperature_
    parts = {"validation": (validation, [train])}
    if row in TESTED:
        parts["test"] = (test, [train, validation])
    for part, (wanted, exclude) in parts.items():
        means = evaluate(model, wanted, exclude=exclude, ks=(20, 50, 100)).to_dict()
        found |= {f"{part} {metric}": round(means[metric], DIGITS) for metric in METRICS}
    return found


def summary(runs: list[dict[str, float]], base: list[dict[str, float]]) -> dict[str, float]:
    """Means and deviations over the seeds, and ratios to the same seeds of CML."""
    rows: dict[str, float] = {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        rows[key] = round(statistics.fmean(values), DIGITS)
        if len(values) > 1:
            rows[f"{key}, deviation"] = round(statistics.stdev(values), DIGITS)
        if key in base[0] and key != "temperature":
            rows[f"{key}, ratio"] = round(
                statistics.fmean(values) / statistics.fmean(run[key] for run in base), 3
            )
    return rows


def show(name: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{name:28} {'R@50':>15} {'R@100':>15} {'NDCG@20':>15}  CPU-seconds")
    for part in ("validation", "test"):
        print(part)
        for row, found in rows.items():
            if f"{part} recall@50" not in found:
                continue
            cells = ""
            for metric in METRICS:
                key = f"{part} {metric}"
                cells += f" {found[key]:6.4f} ± {found.get(f'{key}, deviation', 0):6.4f}"
            print(f"{row:28}{cells}  {found['seconds']:6.1f} ({found['seconds, ratio']:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=tuple(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    store = MeasurementStore(args.work, {"machine": results_file.machine()})
    results: dict[str, dict[str, Any]] = {}
    for name in args.names:
        runs: dict[str, list[dict[str, float]]] = {}
        for row in dict.fromkeys([CML, *args.rows]):
            runs[row] = [
                store.once(
                    f"features, {name}, {row}, seed {seed}",
                    lambda row=row, seed=seed, name=name: measure(name, row, seed, args.folder),
                )
                for seed in args.seeds
            ]
        results[name] = {row: summary(found, runs[CML]) for row, found in runs.items()}
        show(name, results[name])
    record = {"seeds": args.seeds, "arguments": ROWS, "results": results}
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
