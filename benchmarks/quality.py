"""Recall and NDCG on the test parts of public data sets.

    python -m benchmarks.quality --tune temperature 0.15 0.2 0.3 --tune-warp margin 1 1.25 1.5
    python -m benchmarks.quality --names gowalla --dims 64 100 --tune n_negatives 1024

Trains with the library's defaults, once with the softmax and once with the paper's loss, and
stops early by recall on the validation part, as ``Trainer.fit`` does when it is given one. With
``--tune`` or ``--tune-warp``, also with that of these values which did best there. The test part
is looked at once, after that; the items of train and validation are then left out of the
rankings. gowalla is measured by the protocol of its published split (LightGCN): when all has been
chosen on the validation part, a model is trained on train and validation together, for as many
epochs. Each seed draws a split of its own, where the data set has no published one, and seeds the
training. Most popular items first, the same for everybody, is there for scale.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Model, Trainer
from cml_fast.evaluation import evaluate

from . import datasets, results_file
from .hyperparameters import label, settings_of

KS = (20, 50, 100)
SHOWN = ("recall@20", "recall@50", "recall@100", "ndcg@20")
POPULAR = "most popular"
# What is chosen by; the test part of the second kind is ranked by a model of train + validation.
CHOSEN_BY = {"gowalla": "recall@20"}
MERGED = ("gowalla",)


def fit(parts: datasets.Parts, seed: int, settings: dict[str, Any]) -> Trainer:
    train, validation, _ = parts
    trainer = Trainer(random_state=seed, verbose=False, **settings)
    if trainer.patience is None:  # no epoch is better than the last
        return trainer.fit(train)
    return trainer.fit(train, validation=validation)


def favoured(model: Model, likes: Any, weight: float) -> Model:
    return model.favour_popular(likes, weight) if weight > 0 else model


def validation_result(name: str, model: Model, parts: datasets.Parts) -> float:
    train, validation, _ = parts
    result = evaluate(model, validation, exclude=[train], ks=(20, 50)).to_dict()
    return float(result[CHOSEN_BY.get(name, "recall@50")])


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


def chosen(
    name: str,
    parts: datasets.Parts,
    seed: int,
    candidates: list[dict[str, Any]],
    weights: Sequence[float] = (0.0,),
) -> dict[str, Any]:
    """Test results of the candidate, and then of the weight of popularity, that is best."""
    train, validation, _ = parts
    trainers = [fit(parts, seed, settings) for settings in candidates]
    results = [validation_result(name, trainer.model_, parts) for trainer in trainers]
    trainer, settings = max(
        zip(results, trainers, candidates, strict=True), key=lambda found: found[0]
    )[1:]
    result, weight = max(
        (validation_result(name, favoured(trainer.model_, train, w), parts), w) for w in weights
    )
    curve = [round(report.recall or 0.0, 5) for report in trainer.history_]
    seconds = sum(report.seconds for report in trainer.history_)
    # Without a curve there is no early stopping, and all epochs were needed.
    to_99 = next((i for i, r in enumerate(curve, 1) if r >= 0.99 * max(curve) > 0), len(curve))
    model = favoured(trainer.model_, train, weight)
    if name in MERGED:
        alone = {**settings, "n_epochs": trainer.n_epochs_, "temperature": trainer.temperature_}
        both = train.matrix + validation.matrix
        model = Trainer(random_state=seed, verbose=False, **alone).fit(both).model_
        model = favoured(model, both, weight)
    return {
        **measure(model, parts),
        "settings": settings,
        "temperature": trainer.temperature_,
        "popularity_weight": weight,
        "epochs": trainer.n_epochs_,  # up to the best one
        "epochs_run": len(trainer.history_),
        "epochs_to_99%": to_99,
        "seconds_to_99%": seconds * to_99 / len(curve),
        "validation": result,
        "validation_curve": curve,
    }


def run(name: str, seed: int, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Results of one data set and seed, by what was evaluated."""
    parts = datasets.load(name, args.data, seed)
    common: dict[str, Any] = {} if args.n_epochs is None else {"n_epochs": args.n_epochs}
    if args.patience is not None:
        common["patience"] = args.patience or None
    results = {POPULAR: measure(most_popular(parts), parts)}
    for n_dims in args.dims:
        own = {**common, "n_dims": n_dims}
        rows: dict[str, list[dict[str, Any]]] = {"defaults": [own]}
        if args.tune:
            rows["tuned"] = [{**own, **setting} for setting in settings_of(args.tune)]
        rows["warp"] = [{**own, "loss": "warp"}]
        if args.tune_warp:
            rows["warp, tuned"] = [
                {**own, "loss": "warp", **setting} for setting in settings_of(args.tune_warp)
            ]
        for what, candidates in rows.items():
            if args.rows is None or what in args.rows:
                weights = args.popularity if what == "tuned" else (0.0,)
                results[f"{what}, r={n_dims}"] = chosen(name, parts, seed, candidates, weights)
    return results


def show(name: str, runs: list[dict[str, dict[str, Any]]]) -> None:
    print(f"\n{name}: {runs[0][POPULAR]['users']} users with test items, {len(runs)} seed(s)")
    print(
        f"{'':19}"
        + "".join(f"{metric:>18}" for metric in SHOWN)
        + "   chosen, weight of popularity: best epoch"
    )
    for what in runs[0]:
        rows = [run[what] for run in runs]
        cells = []
        for metric in SHOWN:
            values = [row[metric] for row in rows]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.4f}{spread}".rjust(18))
        choices = (
            f"{label(row['settings'])}, {row['popularity_weight']:g}: {row['epochs']}"
            for row in rows
            if "settings" in row
        )
        print(f"{what:19}{''.join(cells)}   {'; '.join(choices)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", default=list(datasets.NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--dims", nargs="+", type=int, default=[Trainer().n_dims])
    for option, whose in (("--tune", "the softmax"), ("--tune-warp", "the paper's loss")):
        parser.add_argument(
            option,
            nargs="+",
            action="append",
            default=[],
            metavar=("ARGUMENT", "VALUE"),
            help=f"an argument of Trainer and values to choose from, for {whose}; may be repeated",
        )
    parser.add_argument(
        "--popularity",
        nargs="+",
        type=float,
        default=[0.0],
        help="weights of Model.favour_popular to choose from, for the tuned softmax",
    )
    parser.add_argument("--rows", nargs="+", help="only these: defaults, tuned, warp ...")
    parser.add_argument("--n-epochs", type=int, help="at most (default: the library's)")
    parser.add_argument(
        "--patience", type=int, help="0: the last epoch counts (default: the library's)"
    )
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
        "tune": args.tune,
        "tune_warp": args.tune_warp,
        "popularity": args.popularity,
        "n_epochs": args.n_epochs,
        "results": results,
    }
    path = results_file.write("quality", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
