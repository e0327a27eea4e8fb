"""The study behind the default hyper-parameters: recall on validation data, epoch by epoch.

    python -m benchmarks.hyperparameters --margins 0.5 1 1.5 --learning-rates 0.1

Trains every combination on every data set and reports recall@50 on the validation part. The test
parts are not looked at. Prints, for each combination, the best recall of each data set relative
to the best that any combination reached there, and the smallest of these: the default is to be
good everywhere rather than best somewhere.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from cml_fast import Trainer

from . import datasets, results_file


def curve(parts: datasets.Parts, settings: dict[str, Any], n_epochs: int) -> list[float]:
    """Validation recall@50 after each epoch."""
    train, validation, _ = parts
    trainer = Trainer(**settings, n_epochs=n_epochs, patience=None, verbose=False)
    trainer.fit(train, validation=validation)
    return [round(report.recall or 0.0, 5) for report in trainer.history_]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    parser.add_argument("--margins", nargs="+", type=float, required=True)
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[0.1])
    parser.add_argument("--n-epochs", type=int, default=60)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    rows = []
    for name in args.names:
        parts = datasets.load(name, args.data)
        for margin, rate in itertools.product(args.margins, args.learning_rates):
            recalls = curve(parts, {"margin": margin, "learning_rate": rate}, args.n_epochs)
            rows.append({"data": name, "margin": margin, "learning_rate": rate, "recall": recalls})
            best = max(recalls)
            print(
                f"{name:16} margin {margin:<5g} rate {rate:<5g} best {best:.4f} "
                f"after epoch {recalls.index(best)}, last {recalls[-1]:.4f}",
                file=sys.stderr,
                flush=True,
            )

    print("margin  rate   share of the best recall, per data set                smallest")
    for margin, rate in itertools.product(args.margins, args.learning_rates):
        shares = {}
        for name in args.names:
            mine = [row for row in rows if row["data"] == name]
            top = max(max(row["recall"]) for row in mine)
            shares[name] = next(
                max(row["recall"]) / top
                for row in mine
                if (row["margin"], row["learning_rate"]) == (margin, rate)
            )
        listed = "  ".join(f"{name} {share:.3f}" for name, share in shares.items())
        print(f"{margin:<7g} {rate:<6g} {listed}   {min(shares.values()):.3f}")
    path = results_file.write(
        "hyperparameters", {"metric": "validation recall@50", "rows": rows}, args.out
    )
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
