"""What features add: CML+F against CML on test parts, and items that were never liked.

    python -m benchmarks.features

For each seed, which draws the split and the training, CML with the library's defaults and CML+F
with those and the options below, which were chosen on validation data; both stop early by recall
on the validation part. The test part is looked at once, after that. citeulike-t has the tags of at
least 5 papers (Hsieh et al., section 4.1), ml-latest-small has genres.
citeulike-t-as-published is the reading with 142,794 "ratings" that the paper's Table 2 was
measured on; see datasets.py.

Cold start: a tenth of the items of citeulike-t loses all its likes before training and is placed by
tags alone. The recall of these likes, all items being ranked for each user, is compared with
vectors by chance, with the mean vector of the other items in their place, and with ranking items by
the cosine between their tags and those of the items that the user likes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Model, Trainer
from cml_fast.data import Interactions, split
from cml_fast.evaluation import evaluate

from . import datasets, results_file

KS = (50, 100)
WITHOUT, WITH = "CML", "CML+F"


def trainers(args: argparse.Namespace, seed: int) -> dict[str, Trainer]:
    # The paper's loss, for which the options were chosen.
    shared = {
        "loss": "warp",
        "random_state": seed,
        "n_epochs": args.n_epochs,
        "patience": 10,
        "verbose": False,
    }
    options = {name: getattr(args, name) for name in OPTIONS}
    return {WITHOUT: Trainer(**shared), WITH: Trainer(**shared, **options)}


def fit(trainer: Trainer, train: Interactions, validation: Interactions, features: Any) -> Any:
    """The trainer, fitted, and what is to be told of it."""
    started = time.perf_counter()
    trainer.fit(train, validation=validation, item_features=features)
    told = {
        "seconds": round(time.perf_counter() - started, 1),
        "best_epoch": trainer.best_epoch_,
        "validation_recall@50": max(report.recall or 0.0 for report in trainer.history_),
    }
    return trainer.model_, told


def compare(name: str, args: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Test figures of one data set, without features and with them."""
    train, validation, test = datasets.load(name, args.folder, seed=seed)
    features = datasets.features(name, train.item_ids, args.folder)
    figures = {}
    for what, trainer in trainers(args, seed).items():
        given = features if what == WITH else None
        model, told = fit(trainer, train, validation, given)
        measured = evaluate(model, test, exclude=[train, validation], ks=KS)
        figures[what] = {**{f"recall@{k}": measured.recall[k] for k in KS}, **told}
    return figures


# --- cold start ---------------------------------------------------------------------------------


def only(likes: Interactions, items: np.ndarray) -> Interactions:
    """The likes of these items (a mask)."""
    kept = sp.csr_array(likes.matrix @ sp.diags_array(items.astype(np.float32)))
    kept.eliminate_zeros()
    return Interactions(kept, likes.user_ids, likes.item_ids)


def nearest_tags(likes: sp.csr_array, features: sp.csr_array, held_out: sp.csr_array) -> float:
    """Recall@50 of ranking items by the cosine between their tags and those of a user's items."""
    norms = np.sqrt(features.multiply(features).sum(axis=1))
    unit = sp.csr_array(sp.diags_array(1 / np.maximum(norms, 1e-12)) @ features)
    recalls = []
    for user in np.flatnonzero(np.diff(held_out.indptr)):
        liked = likes[[user]]
        scores = ((liked @ unit) @ unit.T).toarray()[0]
        scores[liked.indices] = -np.inf
        nearest = np.argpartition(-scores, 50)[:50]
        recalls.append(np.isin(held_out[[user]].indices, nearest).mean())
    return float(np.mean(recalls))


def cold_start(args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Recall@50 of likes of items that training has not seen."""
    name = "citeulike-t"
    parts = datasets.load(name, args.folder)
    likes = Interactions(
        sp.csr_array(sum(part.matrix for part in parts)), parts[0].user_ids, parts[0].item_ids
    )
    features = datasets.features(name, likes.item_ids, args.folder)
    n_items = likes.matrix.shape[1]
    rng = np.random.default_rng(seed)
    cold = np.zeros(n_items, dtype=bool)
    cold[rng.choice(n_items, n_items // 10, replace=False)] = True
    warm, held_out = only(likes, ~cold), only(likes, cold)
    train, validation = split(warm, (0.8, 0.2), random_state=seed)
    # f may know only what is known of the items in training.
    known = sp.csr_array(features.matrix.multiply((~cold[:, None]).astype(np.float32)))
    known.eliminate_zeros()
    model, _ = fit(trainers(args, seed)[WITH], train, validation, known)

    def recall(placed: np.ndarray) -> float:
        items = model.item_vectors.copy()
        items[cold] = placed
        changed = Model(model.user_vectors, items, user_ids=model.user_ids, item_ids=model.item_ids)
        return float(evaluate(changed, held_out, exclude=warm, ks=(50,)).recall[50])

    by_chance = Model(
        rng.standard_normal(model.user_vectors.shape), rng.standard_normal((n_items, 100))
    )
    return {
        WITH: recall(model.embed_items(features.matrix[np.flatnonzero(cold)])),
        "by chance": float(
            evaluate(by_chance, held_out.matrix, exclude=warm.matrix, ks=(50,)).recall[50]
        ),
        "mean vector": recall(model.item_vectors[~cold].mean(axis=0)),
        "nearest tags": nearest_tags(warm.matrix, features.matrix, held_out.matrix),
    }


def show_cold_start(args: argparse.Namespace) -> dict[str, Any]:
    runs = []
    for seed in args.seeds:
        runs.append(cold_start(args, seed))
        print(f"cold start, seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
    figures = summary(runs)
    print("\ncold start, recall@50")
    for what, (mean, deviation) in figures.items():
        print(f"  {what:13} {mean:.4f} ± {deviation:.4f}")
    return {"runs": runs, **figures}


# --- all of it ----------------------------------------------------------------------------------

OPTIONS = {
    "feature_weight": 30.0,
    "feature_learning_rate": 0.005,
    "feature_interval": 4096,
    "n_hidden": 1024,
}


def summary(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over the seeds."""
    return {
        key: [
            statistics.fmean(run[key] for run in runs),
            statistics.pstdev(run[key] for run in runs),
        ]
        for key in runs[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument(
        "--names",
        nargs="*",
        default=["citeulike-t", datasets.AS_PUBLISHED, "ml-latest-small"],
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--n-epochs", type=int, default=60)
    parser.add_argument("--cold-start", action=argparse.BooleanOptionalAction, default=True)
    for name, default in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    results: dict[str, Any] = {}
    for name in args.names:
        runs = []
        for seed in args.seeds:
            runs.append(compare(name, args, seed))
            print(f"{name}, seed {seed}: {runs[-1]}", file=sys.stderr, flush=True)
        results[name] = {"runs": runs} | {
            what: summary([run[what] for run in runs]) for what in (WITHOUT, WITH)
        }
        print(f"\n{name}")
        for what in (WITHOUT, WITH):
            figures = results[name][what]
            print(
                f"  {what:6}"
                + "".join(
                    f"  {key} {figures[key][0]:.4f} ± {figures[key][1]:.4f}" for key in figures
                )
            )
    if args.cold_start:
        results["cold start"] = show_cold_start(args)
    options = {name: getattr(args, name) for name in OPTIONS}
    path = results_file.write("features", {"options": options, "results": results}, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
