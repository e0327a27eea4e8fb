"""Recall and NDCG of implicit's ALS, tuned on the validation parts.

    pip install implicit==0.7.3
    OPENBLAS_NUM_THREADS=1 python -m benchmarks.baselines.implicit_als

Weighted matrix factorisation (Hu, Koren and Volinsky, 2008): a like has the confidence 1 + alpha,
everything else 1. alpha, the regularisation and the number of iterations are those with the best
recall on the validation part of seed 0, out of random ones: some from the whole range, then some
near the best of these. The test part is looked at once for each seed, after that; the items of
train and validation are then left out of the rankings. Each seed draws a split of its own, where
the data set has no published one, and the first vectors.

Training is on ``train`` alone, as in ``benchmarks.quality``; for gowalla the chosen setting is
trained on ``train`` and ``valid`` together before the test, as LightGCN and its successors do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import implicit
import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from cml_fast import Model
from cml_fast._arguments import sample_of_users
from cml_fast.data import Interactions
from cml_fast.evaluation import evaluate

from .. import datasets, results_file
from ..ranking import points_of_products

KS = (20, 50, 100)
SHOWN = ("recall@20", "recall@50", "recall@100", "ndcg@20")
# The searched ranges. implicit does not scale the regularisation by the number of likes.
ALPHAS = (1, 300)
REGULARIZATIONS = (0.01, 1000)
NEAR = 3  # near the best: up to so many times as much or as little
# The iterations after which a trial is judged: ten are enough to tell where the good settings are.
ITERATIONS = (5, 10)
NEAR_ITERATIONS = (10, 20, 30)
VALIDATION_USERS = 6000  # gowalla has more; a sample, always the same, is quicker
TUNED_BY = {"citeulike-t": 50, "gowalla": 20, "ml-latest-small": 50}  # the k of recall@k
FACTORS = {"citeulike-t": (100,), "gowalla": (64, 100), "ml-latest-small": (100,)}
TRAINED_WITH_VALIDATION = ("gowalla",)


class Setting(NamedTuple):
    factors: int
    alpha: float
    regularization: float
    iterations: int

    def __str__(self) -> str:
        return (
            f"{self.factors} factors, alpha {self.alpha:.3g}, regularization "
            f"{self.regularization:.3g}, {self.iterations} iterations"
        )


def als(setting: Setting, seed: int) -> AlternatingLeastSquares:
    # What implicit calls alpha is the whole confidence of a like, not what it has more than others.
    return AlternatingLeastSquares(
        **setting._asdict() | {"alpha": 1 + setting.alpha}, num_threads=1, random_state=seed
    )


def as_points(trained: AlternatingLeastSquares, names: Interactions) -> Model:
    """A model whose distances order the items as the products of ALS do, up to rounding."""
    users, items = points_of_products(trained.user_factors, trained.item_factors)
    return Model(users, items, user_ids=names.user_ids, item_ids=names.item_ids)


def near(value: float) -> tuple[float, float]:
    return value / NEAR, value * NEAR


def search(
    name: str, factors: int, parts: datasets.Parts, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Validation recall of all settings that were tried."""
    train, validation, _ = parts
    likes = sp.csr_matrix(train.matrix)
    wanted = sample_of_users(validation.matrix, VALIDATION_USERS)
    k = TUNED_BY[name]
    generator = np.random.default_rng(0)
    tried: list[dict[str, Any]] = []

    def trial(
        alphas: tuple[float, float], regularizations: tuple[float, float], judged: tuple[int, ...]
    ) -> None:
        alpha, regularization = np.exp(generator.uniform(*np.log([alphas, regularizations]).T))
        setting = Setting(factors, float(alpha), float(regularization), judged[-1])
        trained = als(setting, seed=0)

        def check(iteration: int, *_: Any) -> None:
            if iteration + 1 in judged:
                found = evaluate(as_points(trained, train), wanted, exclude=train, ks=(k,))
                reached = setting._replace(iterations=iteration + 1)
                tried.append({**reached._asdict(), f"validation_recall@{k}": found.recall[k]})
                print(f"{name}: {reached}: {found.recall[k]:.4f}", file=sys.stderr, flush=True)

        trained.fit(likes, show_progress=False, callback=check)

    for _ in range(args.trials):
        trial(ALPHAS, REGULARIZATIONS, ITERATIONS)
    best = max(tried, key=lambda row: row[f"validation_recall@{k}"])
    for _ in range(args.near_trials):
        trial(near(best["alpha"]), near(best["regularization"]), NEAR_ITERATIONS)
    return tried


def measure(name: str, setting: Setting, seed: int, folder: Path) -> dict[str, Any]:
    train, validation, wanted = datasets.load(name, folder, seed)
    likes = train.matrix
    if name in TRAINED_WITH_VALIDATION:
        likes = likes + validation.matrix
    trained = als(setting, seed)
    trained.fit(sp.csr_matrix(likes), show_progress=False)
    model = as_points(trained, train)
    return {"seed": seed, **evaluate(model, wanted, exclude=[train, validation], ks=KS).to_dict()}


def run(name: str, factors: int, args: argparse.Namespace) -> dict[str, Any]:
    k = TUNED_BY[name]
    tried = search(name, factors, datasets.load(name, args.data, seed=0), args)
    best = max(tried, key=lambda row: row[f"validation_recall@{k}"])
    setting = Setting(**{at: best[at] for at in Setting._fields})
    rows = [measure(name, setting, seed, args.data) for seed in args.seeds]
    return {"data": name, "chosen": best, "test": rows, "tried": tried}


def show(result: dict[str, Any]) -> None:
    name, chosen, rows = (result[at] for at in ("data", "chosen", "test"))
    metric = f"validation_recall@{TUNED_BY[name]}"
    setting = Setting(**{at: chosen[at] for at in Setting._fields})
    print(f"\n{name}: {rows[0]['users']} users with test items, {len(rows)} seed(s)")
    print(f"{setting}; {metric} {chosen[metric]:.4f}")
    for metric in SHOWN:
        values = [row[metric] for row in rows]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"{metric:10} {statistics.fmean(values):.4f}{spread}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", choices=datasets.NAMES, default=datasets.NAMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--trials", type=int, default=24, help="from the whole range")
    parser.add_argument("--near-trials", type=int, default=12, help="near the best of these")
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()

    results = []
    for name in args.names:
        for factors in FACTORS[name]:
            results.append(run(name, factors, args))
            show(results[-1])
    record = {
        "command": " ".join(["python -m benchmarks.baselines.implicit_als", *sys.argv[1:]]),
        "implicit": implicit.__version__,
        "seeds": args.seeds,
        "trained_with_validation": TRAINED_WITH_VALIDATION,
        "results": results,
    }
    path = results_file.write("als", record, args.out)
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
