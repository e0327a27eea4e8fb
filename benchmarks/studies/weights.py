"""What to do with counts: validation recall when plays, or ratings, become weights in several ways.

    python -m benchmarks.studies.weights

There are made-up counts, whose logarithm is normal: apart from taste, half of it, or mostly of it,
and with three spreads. Ratings of ml-latest-small are weights as they are, and counts with noise.
Each way to make weights of them trains with the same settings, for a fixed number of epochs. Recall
is that of all likes of the validation part, and that of the favourites: for each user the likes
whose count is above the median of the user's validation part. The test parts are not used.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._training.weighting import WEIGHTINGS, user_medians
from cml_fast.data import load_interactions, split, synthetic
from cml_fast.evaluation import evaluate

from ..common import datasets, results_file

MODULE = "benchmarks.studies.weights"
LOSSES: dict[str, dict[str, Any]] = {
    "softmax": {"loss": "softmax", "temperature": 0.21, "user_retention": 1.0},
    "warp": {"loss": "warp"},
}
SETTINGS = {"n_dims": 32, "n_epochs": 15, "n_threads": 1, "device": "cpu", "verbose": False}
SIZE = {"n_users": 2000, "n_items": 1000, "n_interactions": 60_000, "n_tastes": 16, "noise": 0.2}
# Standard deviations of the logarithm of a count.
SPREADS = (0.5, 1.0, 2.4)
# The correlation of a pair's own part of that logarithm with what the user thinks of the item.
CORRELATIONS = {"apart from taste": 0.0, "partly taste": 0.35, "taste": 0.7}
# Users and items have parts of their own, with this standard deviation to 1 of the pair's part.
OF_USER_AND_ITEM = 0.5
# The smallest share of a user's interest that counts, as a logarithm is taken.
LEAST_SHARE = 0.02
# Ratings as counts: their logarithm has a part of the rating, noise, and a part of the user.
RATINGS = "ratings"
RATINGS_AS_COUNTS = "ratings as counts"
OF_RATING, OF_NOISE, OF_USER = 1.4, 1.4, 0.8
METRICS = ("recall@10", "recall@50", "favourites@50")
DIGITS = 4

Weights = Callable[[sp.csr_array], np.ndarray]


# --- data ---------------------------------------------------------------------------------------


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def user_of_pair(likes: sp.csr_array) -> np.ndarray:
    return np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))


def made_counts(correlation: float, spread: float, seed: int) -> sp.csr_array:
    """Likes with counts, as `synthetic` draws the likes."""
    made = synthetic(**SIZE, random_state=seed)
    likes = sp.csr_array(made.interactions.matrix, dtype=np.float64)
    users, items = user_of_pair(likes), likes.indices
    rng = np.random.default_rng([seed, 1])
    interest = np.log(made.user_shares[users, made.item_tastes[items]] + LEAST_SHARE)
    own = rng.standard_normal(likes.nnz)
    logarithm = correlation * standardised(interest) + np.sqrt(1 - correlation**2) * own
    for numbers, n in ((users, likes.shape[0]), (items, likes.shape[1])):
        logarithm += OF_USER_AND_ITEM * rng.standard_normal(n)[numbers]
    likes.data = np.ceil(np.exp(spread * standardised(logarithm)))
    return likes


def ratings(folder: Path, seed: int, as_counts: bool) -> sp.csr_array:
    """All ratings of ml-latest-small as likes, with the rating as their weight, or counts."""
    path = folder / "ml-latest-small" / "ratings.csv"
    read = load_interactions(path, user="userId", item="movieId", weight="rating")
    likes = sp.csr_array(read.matrix, dtype=np.float64)
    if as_counts:
        users = user_of_pair(likes)
        rng = np.random.default_rng([seed, 1])
        means = np.bincount(users, likes.data) / np.bincount(users)
        logarithm = OF_RATING * standardised(likes.data - means[users])
        logarithm += OF_NOISE * rng.standard_normal(likes.nnz)
        logarithm += OF_USER * rng.standard_normal(likes.shape[0])[users]
        likes.data = np.ceil(np.exp(logarithm))
    return likes


def cases(folder: Path) -> dict[str, Callable[[int], sp.csr_array]]:
    """Makers of likes with counts, by name; they get the seed."""
    made = {
        f"{name}, {spread:g}": partial(made_counts, correlation, spread)
        for name, correlation in CORRELATIONS.items()
        for spread in SPREADS
    }
    rated = {
        name: lambda seed, name=name: ratings(folder, seed, name == RATINGS_AS_COUNTS)
        for name in (RATINGS, RATINGS_AS_COUNTS)
    }
    return {**made, **rated}


def favourites(likes: sp.csr_array) -> sp.csr_array:
    """The likes of each user whose count is above the user's median."""
    kept = likes.copy()
    kept.data = (likes.data > user_medians(likes)[user_of_pair(likes)]).astype(np.float32)
    kept.eliminate_zeros()
    return kept


# --- weights ------------------------------------------------------------------------------------


def ranks(likes: sp.csr_array) -> np.ndarray:
    """The rank of each count among those of its user, from 1; equal counts share their mean rank,
    divided by the user's number of likes + 1."""
    found = []
    for counts in np.split(likes.data, likes.indptr[1:-1]):
        _, which, n_equal = np.unique(counts, return_inverse=True, return_counts=True)
        mean_ranks = np.cumsum(n_equal) - (n_equal - 1) / 2
        found.append(mean_ranks[which] / (counts.size + 1))
    return np.concatenate(found)


def bm25(likes: sp.csr_array, k1: float = 100, b: float = 0.8, least: float = 1e-3) -> np.ndarray:
    """As ``implicit.nearest_neighbours.bm25_weight`` of items x users, with its defaults; where it
    would give a weight of zero or less, to the most active users, ``least`` stands for their IDF.
    """
    users, n_items = user_of_pair(likes), likes.shape[1]
    idf = np.log(n_items) - np.log1p(np.diff(likes.indptr))
    plays = np.bincount(likes.indices, likes.data, minlength=n_items)
    length = 1 - b + b * plays / plays.mean()
    saturated = likes.data * (k1 + 1) / (k1 * length[likes.indices] + likes.data)
    found: np.ndarray = saturated * np.maximum(idf, least)[users]
    return found


CANDIDATES: dict[str, Weights] = {
    **WEIGHTINGS,
    "square root": lambda likes: np.sqrt(likes.data),
    "log(1 + c)": lambda likes: np.log1p(likes.data),
    "log(1 + c / median)": lambda likes: np.log1p(likes.data / np.median(likes.data)),
    "log(1 + c / mean)": lambda likes: np.log1p(likes.data / likes.data.mean()),
    "clipped at 5 medians": lambda likes: np.minimum(likes.data, 5 * np.median(likes.data)),
    "rank within a user": ranks,
    "BM25 (implicit)": bm25,
}


# --- measurements -------------------------------------------------------------------------------


def measure(likes: sp.csr_array, weights: Weights, loss: str, seed: int) -> dict[str, float]:
    """Recall with weights made in this way, and how unequal these weights and the counts are."""
    train, validation, _ = split(likes, (0.6, 0.2, 0.2), random_state=seed)
    weighted = train.copy()
    weighted.data = weights(train)
    trainer = Trainer(**SETTINGS, **LOSSES[loss], weighting="linear", random_state=seed)
    model = trainer.fit(weighted).model_
    of_all, of_favourites = (
        evaluate(model, wanted, exclude=[train], ks=(10, 50)).to_dict()
        for wanted in (validation, favourites(validation))
    )
    return {
        "recall@10": of_all["recall@10"],
        "recall@50": of_all["recall@50"],
        "favourites@50": of_favourites["recall@50"],
        "spread of counts": train.data.std() / train.data.mean(),
        "largest count": train.data.max(),
    }


def run(folder: Path, names: list[str], losses: list[str], seeds: list[int]) -> dict[str, Any]:
    """Means over the seeds, by loss, case and candidate."""
    makers = cases(folder)
    results: dict[str, Any] = {}
    for loss in losses:
        results[loss] = {}
        for name in names:
            rows = results[loss][name] = {}
            for candidate, weights in CANDIDATES.items():
                found = [measure(makers[name](seed), weights, loss, seed) for seed in seeds]
                rows[candidate] = {
                    key: round(statistics.fmean(row[key] for row in found), DIGITS)
                    for key in found[0]
                }
            show(f"{loss}, {name}", rows)
    return results


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    spread = next(iter(rows.values()))["spread of counts"]
    print(f"\n{title}: standard deviation of the counts / mean {spread:.2f}")
    print(f"{'':22}" + "".join(f"{metric:>15}" for metric in METRICS))
    for candidate, row in rows.items():
        print(f"{candidate:22}" + "".join(f"{row[metric]:15.4f}" for metric in METRICS), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = list(cases(datasets.DEFAULT_FOLDER))
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--names", nargs="+", choices=known, default=known, metavar="NAME")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="result file (default: in benchmarks/results)")
    args = parser.parse_args()
    results = run(args.folder, args.names, args.losses, args.seeds)
    record = {"settings": SETTINGS, "losses": LOSSES, "seeds": args.seeds, "results": results}
    print(f"written: {results_file.write(MODULE, record, args.out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
