"""Compare hyper-parameters on validation data: the studies that the defaults rest on.

    python -m benchmarks.studies.hyperparameters --study margin
    python -m benchmarks.studies.hyperparameters --vary loss softmax warp --seeds 0 1 2

A study trains with each of its settings on each data set, without early stopping, and measures
recall@50 on a sample of the validation users after every epoch. The model of the best epoch is then
evaluated on all validation users. The test parts are not used.

The table shows, for each setting and data set, recall@20, @50 and @100 and NDCG@20 (means over the
seeds), the standard deviation of recall@50, recall@50 as a share of the best in the table, and how
long training took to come within ``--close`` of its own best: epochs, and seconds of training.
Finished trainings are kept in ``--work``: the same command continues where it was interrupted.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cml_fast import Trainer
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file
from ..common.measurement_store import MeasurementStore

METRICS = ("recall@20", "recall@50", "recall@100", "ndcg@20")
DIGITS = 6  # of the metrics in a result file
WORK = Path("build/hyperparameters")
Setting = dict[str, Any]
Row = dict[str, Any]


def product(**values: Sequence[Any]) -> list[Setting]:
    """All combinations."""
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


@dataclass(frozen=True)
class Study:
    """Settings (arguments of Trainer) to compare."""

    settings: list[Setting]
    names: tuple[str, ...] = datasets.NAMES
    seeds: tuple[int, ...] = (0,)
    n_epochs: int = 40


# As the paper has it, and as the defaults were when these studies were made.
PAPER = {"loss": ["warp"], "n_negatives": [20], "optimizer": ["adagrad"], "ema_decay": [0.0]}
PAPER_ASYNC = {**PAPER, "update": ["async"]}
BATCH_SIZES = (64, 256, 1024, 4096, 16384)
STUDIES = {
    "margin": Study(product(**PAPER_ASYNC, margin=[0.5, 1.0, 1.25, 1.5, 2.0])),
    "update": Study(
        product(**PAPER_ASYNC) + product(**PAPER, update=["sync"], batch_size=BATCH_SIZES),
        seeds=(0, 1, 2),
    ),
    "covariance": Study(
        product(**PAPER, n_dims=[10, 20, 50, 100], cov_weight=[0.0, 10.0, 100.0]),
        n_epochs=25,
    ),
    "temperature": Study(product(temperature=[0.15, 0.2, 0.25, 0.3, 0.35, 0.4])),
    "negatives": Study(
        product(temperature=[0.16], n_dims=[64], n_negatives=[256, 512, 1024]), names=("gowalla",)
    ),
    "paper-negatives": Study(
        product(loss=["shared_warp"], n_negatives=[None, 3, 5, 10, 20, 40, 80])
    ),
    "paper-margin": Study(product(loss=["shared_warp"], margin=[0.6, 1.0, 1.25, 1.5, 2.0])),
    # gowalla trains on 719,081 pairs: 11 parts, and 44.
    "parts": Study(
        product(temperature=[0.16], n_dims=[64], pairs_per_part=[None, 2**16, 2**14]),
        names=("gowalla",),
        seeds=(0, 1, 2),
        n_epochs=12,
    ),
    "loss": Study(
        product(loss=["softmax", "warp"]), names=("citeulike-t", "ml-latest-small"), seeds=(0, 1, 2)
    ),
}


def parsed(text: str) -> Any:
    """The value of an argument of Trainer, given on the command line."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None if text == "none" else text


def varied_settings(varied: list[list[str]]) -> list[Setting]:
    """All combinations of the arguments of ``--vary``."""
    known = Trainer().get_params()
    for name, *values in varied:
        if name not in known or not values:
            raise SystemExit(f"--vary needs an argument of Trainer and values, got {name!r}")
    return product(**{name: [parsed(text) for text in values] for name, *values in varied})


# --- measurements -------------------------------------------------------------------------------


def train(parts: datasets.Parts, setting: Setting, seed: int, n_epochs: int, n_threads: int) -> Row:
    """Recall after each epoch, and all metrics of the best epoch's model."""
    training, validation, _ = parts
    trainer = Trainer(
        **setting,
        random_state=seed,
        n_epochs=n_epochs,
        n_threads=n_threads,
        patience=None,
        verbose=False,
        device="cpu",
    )
    trainer.fit(training, validation=validation)
    found = evaluate(trainer.model_, validation, exclude=[training], ks=(20, 50, 100)).to_dict()
    return {
        "seed": seed,
        "best_epoch": trainer.best_epoch_ + 1,
        "seconds_per_epoch": statistics.median(report.seconds for report in trainer.history_),
        "recall_by_epoch": [round(report.recall or 0.0, 5) for report in trainer.history_],
        **{metric: found[metric] for metric in METRICS},
    }


def epochs_to(share: float, row: Row) -> int:
    """Epochs until a training had this share of its best recall."""
    aim = share * max(row["recall_by_epoch"])
    return next(i for i, recall in enumerate(row["recall_by_epoch"], 1) if recall >= aim)


def summary(setting: Setting, rows: list[Row], close: float) -> Row:
    """Means and medians of the trainings with one setting on one data set."""
    epochs = [epochs_to(close, row) for row in rows]
    recalls = [row["recall@50"] for row in rows]
    seconds = [n * row["seconds_per_epoch"] for n, row in zip(epochs, rows, strict=True)]
    return {
        **setting,
        **{m: round(statistics.fmean(row[m] for row in rows), DIGITS) for m in METRICS},
        "deviation": round(statistics.stdev(recalls), DIGITS) if len(recalls) > 1 else None,
        "best_epoch": statistics.median(row["best_epoch"] for row in rows),
        "epochs": statistics.median(epochs),
        "seconds": round(statistics.median(seconds), 3),
    }


def run(
    study: Study, store: MeasurementStore, folder: Path, n_threads: int, close: float
) -> dict[str, list[Row]]:
    """A summary of each setting, by data set."""
    tables: dict[str, list[Row]] = {}
    for name in study.names:
        parts = datasets.load(name, folder)
        tables[name] = []
        for setting in study.settings:
            rows = [
                store.once(
                    f"{name}, {label(setting)}, {study.n_epochs} epochs, seed {seed}",
                    lambda setting=setting, seed=seed, parts=parts: train(
                        parts, setting, seed, study.n_epochs, n_threads
                    ),
                )
                for seed in study.seeds
            ]
            tables[name].append(summary(setting, rows, close))
    return tables


# --- the table ----------------------------------------------------------------------------------


def label(setting: Setting) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "defaults"


def show(tables: dict[str, list[Row]], settings: list[Setting], close: float) -> None:
    width = max(len(label(setting)) for setting in settings)
    for name, table in tables.items():
        best = max(row["recall@50"] for row in table)
        print(
            f"\n{name:{width}} {'R@20':>7}{'R@50':>7} {'sd':>7}{'R@100':>7}{'NDCG':>7}  share  best"
            f"   to {close:.0%}: epochs, seconds"
        )
        for setting, row in zip(settings, table, strict=True):
            deviation = math.nan if row["deviation"] is None else row["deviation"]
            print(
                f"{label(setting):{width}} {row['recall@20']:7.4f}{row['recall@50']:7.4f} "
                f"{deviation:7.4f}{row['recall@100']:7.4f}{row['ndcg@20']:7.4f}  "
                f"{row['recall@50'] / best:.3f} {row['best_epoch']:5g}   {row['epochs']:10g} "
                f"{row['seconds']:8.2f}"
            )
    print("\nsmallest share over the data sets")
    for at, setting in enumerate(settings):
        shares = [t[at]["recall@50"] / max(r["recall@50"] for r in t) for t in tables.values()]
        print(f"{label(setting):{width}} {min(shares):.3f}")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", choices=STUDIES, help="settings, data, seeds and epochs of")
    parser.add_argument(
        "--vary",
        nargs="+",
        action="append",
        default=[],
        metavar=("ARGUMENT", "VALUE"),
        help="an argument of Trainer and its values; may be given more than once",
    )
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", help="data sets (default: those of the study)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, help="(default: those of the study)")
    parser.add_argument("--n-epochs", type=int, help="(default: 40, or those of the study)")
    parser.add_argument("--close", type=float, default=0.99, help="share of the best recall")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args(argv)
    if args.study and args.vary:
        parser.error("--study has settings of its own: give either --study or --vary")
    return args


def main() -> None:
    args = arguments()
    given = STUDIES[args.study] if args.study else Study(varied_settings(args.vary))
    study = Study(
        given.settings,
        tuple(args.names or given.names),
        tuple(args.seeds or given.seeds),
        args.n_epochs or given.n_epochs,
    )
    files = {name: content for name in study.names if (content := datasets.fingerprint(name))}
    settings = {"threads": args.threads, "files": files, "machine": results_file.machine()}
    tables = run(
        study, MeasurementStore(args.work, settings), args.folder, args.threads, args.close
    )
    show(tables, study.settings, args.close)
    record = {
        "defaults": Trainer().get_params(),
        "seeds": study.seeds,
        "n_epochs": study.n_epochs,
        "close": args.close,
        "summary": {Path(name).name: table for name, table in tables.items()},
    }
    name = f"hyperparameters-{args.study}" if args.study else None
    path = results_file.write("benchmarks.studies.hyperparameters", record, args.out, name)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
