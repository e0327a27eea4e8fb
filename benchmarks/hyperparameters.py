"""The study behind the default hyper-parameters, on validation data.

    python -m benchmarks.hyperparameters --vary temperature 0.15 0.2 0.3
    python -m benchmarks.hyperparameters --vary loss warp --vary update sync async --seeds 0 1 2

Trains with every combination of the arguments of Trainer that are varied, on every data set,
without early stopping, and watches recall@50 on the validation part after each epoch. The model of
the best epoch is then measured in full on all users of the validation part. The test parts are not
looked at. Prints, for each combination and data set, recall@20, @50 and @100 and NDCG@20 (means
over the seeds), the share of the best recall@50 that any combination reached there, and when
training had come close (``--close``) to its own best: after how many epochs and how many seconds of
training. A default is to be good everywhere rather than best somewhere.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.evaluation import evaluate

from . import datasets, results_file

METRICS = ("recall@20", "recall@50", "recall@100", "ndcg@20")
Row = dict[str, Any]


def value_of(text: str) -> Any:
    """An argument of Trainer as the command line has it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None if text == "none" else text


def settings_of(varied: list[list[str]]) -> list[dict[str, Any]]:
    """All combinations."""
    known = Trainer().get_params()
    for name, *values in varied:
        if name not in known or not values:
            raise SystemExit(f"--vary needs an argument of Trainer and values, got {name!r}")
    names = [name for name, *_ in varied]
    columns = [[value_of(text) for text in values] for _, *values in varied]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*columns)]


def curve(
    parts: datasets.Parts, setting: dict[str, Any], seed: int, n_epochs: int, n_threads: int
) -> Row:
    train, validation, _ = parts
    trainer = Trainer(
        **setting,
        random_state=seed,
        n_epochs=n_epochs,
        n_threads=n_threads,
        patience=None,
        verbose=False,
        device="cpu",
    )
    trainer.fit(train, validation=validation)
    found = evaluate(trainer.model_, validation, exclude=[train], ks=(20, 50, 100)).to_dict()
    return {
        **setting,
        "seed": seed,
        "best_epoch": trainer.best_epoch_ + 1,
        "seconds": statistics.median(report.seconds for report in trainer.history_),
        "recall": [round(report.recall or 0.0, 5) for report in trainer.history_],
        **{metric: found[metric] for metric in METRICS},
    }


def epochs_to(share: float, row: Row) -> float:
    """Epochs until a run had this share of its best recall."""
    aim = share * max(row["recall"])
    return next((i for i, reached in enumerate(row["recall"], 1) if reached >= aim), math.inf)


def summary(rows: list[Row], settings: list[dict[str, Any]], close: float) -> list[Row]:
    """One row for each setting, of the runs on one data set."""
    table = []
    for setting in settings:
        own = [row for row in rows if all(row[k] == v for k, v in setting.items())]
        epochs = [epochs_to(close, row) for row in own]
        recalls = [row["recall@50"] for row in own]
        table.append(
            {
                **setting,
                **{m: statistics.fmean(row[m] for row in own) for m in METRICS},
                "deviation": statistics.stdev(recalls) if len(own) > 1 else math.nan,
                "best_epoch": statistics.median(row["best_epoch"] for row in own),
                "epochs": statistics.median(epochs),
                "seconds": statistics.median(
                    n * row["seconds"] for n, row in zip(epochs, own, strict=True)
                ),
            }
        )
    return table


def label(setting: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "defaults"


def show(tables: dict[str, list[Row]], settings: list[dict[str, Any]], close: float) -> None:
    width = max(len(label(setting)) for setting in settings)
    for name, table in tables.items():
        top = max(row["recall@50"] for row in table)
        print(
            f"\n{name:{width}} {'R@20':>7}{'R@50':>7} {'sd':>7}{'R@100':>7}{'NDCG':>7}  share  best"
            f"   to {close:.0%}: epochs, seconds"
        )
        for setting, row in zip(settings, table, strict=True):
            print(
                f"{label(setting):{width}} {row['recall@20']:7.4f}{row['recall@50']:7.4f} "
                f"{row['deviation']:7.4f}{row['recall@100']:7.4f}{row['ndcg@20']:7.4f}  "
                f"{row['recall@50'] / top:.3f} {row['best_epoch']:5g}   {row['epochs']:10g} "
                f"{row['seconds']:8.2f}"
            )
    print("\nsmallest share over the data sets")
    for at, setting in enumerate(settings):
        shares = [t[at]["recall@50"] / max(r["recall@50"] for r in t) for t in tables.values()]
        print(f"{label(setting):{width}} {min(shares):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    parser.add_argument(
        "--vary",
        nargs="+",
        action="append",
        default=[],
        metavar=("ARGUMENT", "VALUE"),
        help="an argument of Trainer and its values; may be given more than once",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--n-epochs", type=int, default=40)
    parser.add_argument("--close", type=float, default=0.99)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    settings = settings_of(args.vary)
    results = []
    tables = {}
    for name in args.names:
        parts = datasets.load(name, args.folder)
        rows = []
        for seed, setting in itertools.product(args.seeds, settings):
            row = curve(parts, setting, seed, args.n_epochs, args.threads)
            rows.append(row)
            print(
                f"{name:16} seed {seed}: {label(setting)} {row['recall@50']:.4f}",
                file=sys.stderr,
                flush=True,
            )
        results += [{"data": name, **row} for row in rows]
        tables[name] = summary(rows, settings, args.close)
    show(tables, settings, args.close)
    path = results_file.write(
        "hyperparameters",
        {"defaults": Trainer().get_params(), "summary": tables, "rows": results},
        args.out,
    )
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
