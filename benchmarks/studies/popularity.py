"""Raise popular items in a trained model (`Model.with_popularity_bias`): what it gains, by weight.

    python -m benchmarks.studies.popularity

Trains one model on each data set, and evaluates it on all users of the validation part with each
weight, calibrated and not, and with the one that the model chooses itself on that part. The test
parts are not used. ``--names`` takes the kinds of made-up data, too.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file

MODULE = "benchmarks.studies.popularity"
METRICS = ("recall@20", "recall@50", "ndcg@20")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "citeulike-t": {"temperature": 0.3, "n_epochs": 40},
    "gowalla": {"temperature": 0.15, "n_epochs": 20},
}
OF_OTHERS: dict[str, Any] = {}  # made-up data and files: the defaults
DIGITS = 6  # of the numbers in a result file
WEIGHTS = (0.0, 0.01, 0.02, 0.04, 0.08)
SHARES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the temperature: weights if it is calibrated


def run(name: str, folder: Path) -> list[dict[str, Any]]:
    """The metrics of the validation part with each weight, first without calibration."""
    train, validation, _ = datasets.load(name, folder)
    trainer = Trainer(
        **ARGUMENTS.get(name, OF_OTHERS),
        popularity_weight=0,
        n_threads=1,
        random_state=0,
        device="cpu",
        verbose=False,
    )
    model = trainer.fit(train).model_
    rows = []
    for calibrated in (False, True):
        bias = partial(model.with_popularity_bias, train, calibrated=calibrated, n_threads=1)
        chosen = bias(validation=validation).hyperparameters.get("popularity_weight", 0.0)
        weights = [s * trainer.temperature_ for s in SHARES] if calibrated else WEIGHTS
        for weight in sorted({*weights, chosen}):
            raised = bias(weight) if weight > 0 else model
            found = evaluate(raised, validation, exclude=[train], ks=(20, 50)).to_dict()
            rows.append(
                {
                    "calibrated": calibrated,
                    "weight": round(weight, DIGITS),
                    "chosen": weight == chosen,
                    **{m: round(found[m], DIGITS) for m in METRICS},
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(ARGUMENTS))
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    results = {}
    for name in args.names:
        results[Path(name).name] = rows = run(name, args.folder)
        print(f"\n{name:24}" + "".join(f"{metric:>12}" for metric in METRICS))
        for row in rows:
            metrics = "".join(f"{row[metric]:12.4f}" for metric in METRICS)
            weight = f"{row['weight']:g}" + ", calibrated" * row["calibrated"]
            print(f"{weight:24}{metrics}" + "  chosen" * row["chosen"])
    record = {"arguments": ARGUMENTS, "results": results}
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
