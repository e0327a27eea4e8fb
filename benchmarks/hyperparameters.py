"""The study behind the default hyper-parameters: recall on validation data, epoch by epoch.

    python -m benchmarks.hyperparameters --margins 0.5 1 1.5
    python -m benchmarks.hyperparameters --updates async 256 1024 4096 --seeds 0 1 2

    python -m benchmarks.hyperparameters --dims 10 20 50 100 --cov-weights 0 1 10 100

Trains every combination on every data set and reports recall@50 on the validation part. The test
parts are not looked at. An update is "async" or the size of synchronous mini-batches. Prints, for
each combination and data set, the best recall (mean and standard deviation over the seeds), its
share of the best that any combination reached there, and when training had come close
(``--close``) to the best recall of the first combination with the same seed: after how many epochs
and after how many seconds of training. The default is to be good everywhere rather than best
somewhere.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cml_fast import Trainer

from . import datasets, results_file


class Setting(NamedTuple):
    """Arguments of Trainer that are studied; ``update`` is "async" or a batch size."""

    margin: float
    learning_rate: float
    n_dims: int
    cov_weight: float
    update: str

    def arguments(self) -> dict[str, Any]:
        how = {"update": "async"}
        if self.update != "async":
            how = {"update": "sync", "batch_size": int(self.update)}
        return {**self._asdict(), **how}

    def __str__(self) -> str:
        return (
            f"{self.margin:<7g} {self.learning_rate:<6g} {self.n_dims:<5} {self.cov_weight:<7g} "
            f"{self.update:6}"
        )


HEADER = "margin  rate   dims  cov     update"


Row = dict[str, Any]


def curve(parts: datasets.Parts, setting: Setting, seed: int, n_epochs: int, n_threads: int) -> Row:
    """Validation recall@50 after each epoch, and what an epoch took (median)."""
    train, validation, _ = parts
    trainer = Trainer(
        **setting.arguments(),
        random_state=seed,
        n_epochs=n_epochs,
        n_threads=n_threads,
        patience=None,
        verbose=False,
        device="cpu",
    )
    trainer.fit(train, validation=validation)
    return {
        **setting._asdict(),
        "seed": seed,
        "seconds": statistics.median(report.seconds for report in trainer.history_),
        "seconds_between": statistics.median(r.seconds_between for r in trainer.history_),
        "recall": [round(report.recall or 0.0, 5) for report in trainer.history_],
    }


def epochs_to(recall: float, row: Row) -> float:
    """Epochs until a run reached this recall; infinite if it did not."""
    return next((i for i, reached in enumerate(row["recall"], 1) if reached >= recall), math.inf)


def summary(rows: list[Row], settings: list[Setting], close: float) -> list[Row]:
    """One row for each setting, of the runs on one data set."""
    runs = {
        s: [row for row in rows if all(row[k] == v for k, v in s._asdict().items())]
        for s in settings
    }
    aims = {row["seed"]: close * max(row["recall"]) for row in runs[settings[0]]}
    table = []
    for setting, own in runs.items():
        best = [max(row["recall"]) for row in own]
        epochs = [epochs_to(aims[row["seed"]], row) for row in own]
        seconds = [n * row["seconds"] for n, row in zip(epochs, own, strict=True)]
        table.append(
            {
                **setting._asdict(),
                "best": statistics.fmean(best),
                "deviation": statistics.stdev(best) if len(best) > 1 else math.nan,
                "epochs": statistics.median(epochs),
                "seconds": statistics.median(seconds),
            }
        )
    return table


def show(tables: dict[str, list[Row]], settings: list[Setting], close: float) -> None:
    for name, table in tables.items():
        top = max(row["best"] for row in table)
        print(f"\n{name}\n{'':36}best recall@50     share   to {close:.0%} of the")
        print(f"{HEADER:62}first: epochs, seconds")
        for setting, row in zip(settings, table, strict=True):
            print(
                f"{setting} {row['best']:.4f} ± {row['deviation']:.4f}    "
                f"{row['best'] / top:.3f}   {row['epochs']:6g} {row['seconds']:9.2f}"
            )
    print("\nsmallest share over the data sets")
    for at, setting in enumerate(settings):
        shares = [t[at]["best"] / max(row["best"] for row in t) for t in tables.values()]
        print(f"{setting} {min(shares):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    defaults = Trainer().get_params()
    parser.add_argument("--margins", nargs="+", type=float, default=[defaults["margin"]])
    parser.add_argument(
        "--learning-rates", nargs="+", type=float, default=[defaults["learning_rate"]]
    )
    parser.add_argument("--dims", nargs="+", type=int, default=[defaults["n_dims"]])
    parser.add_argument("--cov-weights", nargs="+", type=float, default=[defaults["cov_weight"]])
    parser.add_argument(
        "--updates",
        nargs="+",
        default=[str(defaults["batch_size"])],
        help="async, or sizes of mini-batches",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--n-epochs", type=int, default=40)
    parser.add_argument("--close", type=float, default=0.98)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    settings = [
        Setting(*values)
        for values in itertools.product(
            args.margins, args.learning_rates, args.dims, args.cov_weights, args.updates
        )
    ]
    results = []
    tables = {}
    for name in args.names:
        parts = datasets.load(name, args.data)
        rows = []
        for seed, setting in itertools.product(args.seeds, settings):
            row = curve(parts, setting, seed, args.n_epochs, args.threads)
            rows.append(row)
            best = max(row["recall"])
            print(f"{name:16} seed {seed}: {setting} {best:.4f}", file=sys.stderr, flush=True)
        results += [{"data": name, **row} for row in rows]
        tables[name] = summary(rows, settings, args.close)
    show(tables, settings, args.close)
    path = results_file.write(
        "hyperparameters",
        {"metric": "validation recall@50", "summary": tables, "rows": results},
        args.out,
    )
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
