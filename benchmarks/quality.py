"""Recall and NDCG on the test parts of public data sets.

    python -m benchmarks.quality --margins 1 1.5 2

Trains with the library's defaults and stops early by recall on the validation part, as
``Trainer.fit`` does when it is given one. With ``--margins``, also with the margin of these that
did best there. The test part is looked at once, after that; the items of train and validation are
then left out of the rankings. Each seed draws a split of its own, where the data set has no
published one, and seeds the training. Most popular items first, the same for everybody, is there
for scale.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Model, Trainer
from cml_fast.evaluation import evaluate

from . import datasets, results_file

KS = (20, 50, 100)
SHOWN = ("recall@20", "recall@50", "recall@100", "ndcg@20")
POPULAR, DEFAULT, TUNED = "most popular", "defaults", "margin tuned"


def fit(parts: datasets.Parts, seed: int, settings: dict[str, Any]) -> Trainer:
    train, validation, _ = parts
    trainer = Trainer(random_state=seed, verbose=False, **settings)
    return trainer.fit(train, validation=validation)


def validation_recall(trainer: Trainer) -> float:
    return max(report.recall or 0.0 for report in trainer.history_)


def most_popular(parts: datasets.Parts) -> Model:
    """A model in which every user is nearest to the items with the most likes in train."""
    train = parts[0]
    n_users, n_items = train.matrix.shape
    counts = np.bincount(train.matrix.indices, minlength=n_items)
    return Model(
        np.zeros((n_users, 1), dtype=np.float32),
        (1 / (1 + counts[:, None])).astype(np.float32),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
    )


def measure(model: Model, parts: datasets.Parts) -> dict[str, Any]:
    train, validation, test = parts
    return evaluate(model, test, exclude=[train, validation], ks=KS).to_dict()


def trained(trainer: Trainer, parts: datasets.Parts) -> dict[str, Any]:
    """Test results of a trainer, with what was chosen on the validation part."""
    return {
        **measure(trainer.model_, parts),
        "margin": trainer.margin,
        "epochs": trainer.n_epochs_,  # up to the best one
        "epochs_run": len(trainer.history_),
        "validation_recall@50": validation_recall(trainer),
    }


def run(name: str, seed: int, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Results of one data set and seed, by what was evaluated."""
    parts = datasets.load(name, args.data, seed)
    settings = {} if args.n_epochs is None else {"n_epochs": args.n_epochs}
    results = {POPULAR: measure(most_popular(parts), parts)}
    results[DEFAULT] = trained(fit(parts, seed, settings), parts)
    if args.margins:
        trainers = [fit(parts, seed, {**settings, "margin": margin}) for margin in args.margins]
        results[TUNED] = trained(max(trainers, key=validation_recall), parts)
    return results


def show(name: str, runs: list[dict[str, dict[str, Any]]]) -> None:
    print(f"\n{name}: {runs[0][POPULAR]['users']} users with test items, {len(runs)} seed(s)")
    print(f"{'':14}" + "".join(f"{metric:>18}" for metric in SHOWN) + "   margins, best epochs")
    for what in runs[0]:
        rows = [run[what] for run in runs]
        cells = []
        for metric in SHOWN:
            values = [row[metric] for row in rows]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.4f}{spread}".rjust(18))
        chosen = ", ".join(f"{row['margin']:g}/{row['epochs']}" for row in rows if "margin" in row)
        print(f"{what:14}{''.join(cells)}   {chosen}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--margins", nargs="+", type=float, help="to choose from (default: none)")
    parser.add_argument("--n-epochs", type=int, help="at most (default: the library's)")
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    results: dict[str, list[dict[str, dict[str, Any]]]] = {}
    for name in args.names:
        results[name] = []
        for seed in args.seeds:
            print(f"{name}: seed {seed}", file=sys.stderr, flush=True)
            results[name].append(run(name, seed, args))
        show(name, results[name])
    record = {
        "defaults": Trainer().get_params(),
        "seeds": args.seeds,
        "margins": args.margins,
        "n_epochs": args.n_epochs,
        "results": results,
    }
    path = results_file.write("quality", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
