"""How well `Trainer.partial_fit` keeps up with a stream of days, beside a full retraining each day.

    python -m benchmarks.studies.stream --streams drift ml-latest-small gowalla

Three streams:

- drift: made-up users whose tastes change from day to day, three in ten of whom are active on a
  day; new users and new items arrive every day. After each day, the likes of the next are ranked.
- ml-latest-small: the likes in the order of their time.
- gowalla: its first 10,000 users in the order of their numbers, in which they arrive.

Of the last two, validation likes are held out at random, and after each day those of the users and
items known by then are ranked. The test parts are not used.

A retraining is `Trainer().fit` on all likes so far, which chooses the temperature and
`user_retention` anew. Beside it is one that keeps what was chosen before the stream, as
`partial_fit` does.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._training.hyperparameters import PARTIAL_EPOCHS, REPLAY
from cml_fast._training.update import aligned
from cml_fast.data import Interactions, load_interactions, split
from cml_fast.metrics import measure

from ..common import clock, datasets, results_file

MODULE = "benchmarks.studies.stream"
SETTINGS = {"n_threads": 1, "device": "cpu", "verbose": False}
# Of studies in which nothing is chosen.
FIXED = {**SETTINGS, "temperature": 0.3, "user_retention": 1.0}
RECALL, NDCG = 50, 20
DIGITS = 4
QUALITY = ("recall", "ndcg")
METRICS = (*QUALITY, "cpu_seconds")
RETRAINED, CHOICES_KEPT = "retrained", "retrained, choices kept"
N_DAYS = {"drift": 8, "ml-latest-small": 8, "gowalla": 2}
GOWALLA_USERS = 10_000  # the first third
FIRST = {"ml-latest-small": 0.6, "gowalla": 0.85}  # the share of the stream before the first day
# Of "drift".
N_USERS, N_ITEMS, N_TASTES, LIKES_A_DAY, DAYS_BEFORE = 2000, 800, 10, 8, 6
ACTIVE, LATE = 0.3, 0.2  # shares: of the users, on a day; of users and items that arrive later
DRIFT = 0.12  # how much of a user's mixture of tastes is replaced in a day


@dataclass(frozen=True)
class Day:
    """New likes, and those that are ranked after them."""

    new: Interactions
    wanted: Interactions


# --- streams --------------------------------------------------------------------------------------


def drifting(seed: int, n_days: int, folder: Path) -> Iterator[Day]:
    """Made-up likes; the first `Day` is what is known before the stream begins."""
    rng = np.random.default_rng(seed)
    tastes = rng.integers(N_TASTES, size=N_ITEMS)
    popularity = (rng.permutation(N_ITEMS) + 5.0) ** -0.8
    first_day = [
        np.where(rng.random(n) < LATE, rng.integers(DAYS_BEFORE, DAYS_BEFORE + n_days, n), 0)
        for n in (N_USERS, N_ITEMS)
    ]
    mixtures = rng.dirichlet(np.full(N_TASTES, 1 / N_TASTES), size=N_USERS)
    seen = np.zeros((N_USERS, N_ITEMS), dtype=bool)
    days = []
    for day in range(DAYS_BEFORE + n_days + 1):
        mixtures += DRIFT * (rng.dirichlet(np.full(N_TASTES, 1 / N_TASTES), N_USERS) - mixtures)
        active = np.flatnonzero((rng.random(N_USERS) < ACTIVE) & (first_day[0] <= day))
        odds = mixtures[active][:, tastes] * np.where(first_day[1] <= day, popularity, 0)
        odds[seen[active]] = 0
        # The largest of so many exponential variables over their rates: a draw without replacement.
        keys = rng.exponential(size=odds.shape) / np.maximum(odds, 1e-12)
        liked = np.argpartition(keys, LIKES_A_DAY, axis=1)[:, :LIKES_A_DAY]
        seen[active[:, None], liked] = True
        days.append((np.repeat(active, LIKES_A_DAY), liked.ravel()))
    before = [np.concatenate(parts) for parts in zip(*days[:DAYS_BEFORE], strict=True)]
    known = [before, *days[DAYS_BEFORE:]]
    for new, following in itertools.pairwise(known):
        yield Day(Interactions.from_arrays(*new), Interactions.from_arrays(*following))


def _in_order(
    train: Interactions, wanted: Interactions, order: np.ndarray, name: str, n_days: int
) -> Iterator[Day]:
    """Likes of ``train`` by their place in the stream, ``order``, between 0 and 1."""
    users = np.repeat(np.arange(train.matrix.shape[0]), np.diff(train.matrix.indptr))
    ends = np.linspace(FIRST[name], 1, n_days + 1)
    for begin, end in zip([-1, *ends[:-1]], ends, strict=True):
        chosen = (order > begin) & (order <= end)
        yield Day(
            Interactions.from_arrays(
                train.user_ids[users[chosen]], train.item_ids[train.matrix.indices[chosen]]
            ),
            wanted,
        )


def by_time(seed: int, n_days: int, folder: Path) -> Iterator[Day]:
    path = folder / "ml-latest-small" / "ratings.csv"
    likes = load_interactions(
        path, user="userId", item="movieId", rating="rating", timestamp="timestamp", min_rating=4
    )
    train, validation, _ = split(likes, (0.6, 0.2, 0.2), random_state=seed)
    ranks = np.argsort(np.argsort(train.timestamps, kind="stable"), kind="stable")
    return _in_order(train, validation, (ranks + 1) / len(ranks), "ml-latest-small", n_days)


def arriving(seed: int, n_days: int, folder: Path) -> Iterator[Day]:
    train, validation, _ = (
        Interactions(part.matrix[:GOWALLA_USERS], part.user_ids[:GOWALLA_USERS], part.item_ids)
        for part in datasets.load("gowalla", folder)
    )
    users = np.repeat(np.arange(train.matrix.shape[0]), np.diff(train.matrix.indptr))
    return _in_order(train, validation, (users + 1) / train.matrix.shape[0], "gowalla", n_days)


STREAMS: dict[str, Callable[[int, int, Path], Iterator[Day]]] = {
    "drift": drifting,
    "ml-latest-small": by_time,
    "gowalla": arriving,
}


# --- measurements ---------------------------------------------------------------------------------


def quality(trainer: Trainer, wanted: Interactions) -> dict[str, float]:
    """Recall and NDCG of likes of known users and items."""
    model = trainer.model_
    known = [
        np.flatnonzero(np.isin(ids, of_model))
        for ids, of_model in (
            (wanted.user_ids, model.user_ids),
            (wanted.item_ids, model.item_ids),
        )
    ]
    some = Interactions(
        wanted.matrix[known[0]][:, known[1]], wanted.user_ids[known[0]], wanted.item_ids[known[1]]
    )
    shape = len(model.user_ids), len(model.item_ids)
    matrix = aligned(some, shape, {"user_ids": model.user_ids, "item_ids": model.item_ids})
    matrix = matrix - matrix.multiply(trainer._likes != 0)  # a like that is known is none to find
    matrix = sp.csr_array(matrix)
    matrix.eliminate_zeros()
    vectors = model.user_vectors, model.item_vectors
    measured = measure(*vectors, matrix, trainer._likes, [NDCG, RECALL], n_threads=1)
    return {"recall": measured.recall[RECALL], "ndcg": measured.ndcg[NDCG]}


def run(
    name: str, seed: int, n_days: int, folder: Path, variants: dict[str, dict[str, Any]]
) -> dict[str, list[dict[str, float]]]:
    """Quality and CPU-seconds after each day: of the two retrainings, and of each variant."""
    settings = {**SETTINGS, "random_state": seed}
    days = iter(STREAMS[name](seed, n_days, folder))
    start = next(days)
    first = Trainer(**settings).fit(start.new)
    chosen = {"temperature": first.temperature_, "user_retention": first.user_retention_}
    fits = {RETRAINED: settings, CHOICES_KEPT: {**settings, **chosen}}
    trainers = {variant: _copy(first) for variant in variants}
    rows: dict[str, list[dict[str, float]]] = {variant: [] for variant in (*fits, *variants)}
    everything = _copy(first)
    for number, day in enumerate(days):
        # The same rows as those of the updates, so that the same matrix is ranked.
        everything.partial_fit(day.new, n_epochs=1, replay=0)
        likes = Interactions(everything._likes, **everything._state.ids)
        for variant in rows:
            begun = time.process_time()
            if variant in fits:
                trainer = Trainer(**fits[variant]).fit(likes)
            else:
                trainer = trainers[variant].partial_fit(day.new, **variants[variant])
            seconds = time.process_time() - begun
            row = {**quality(trainer, day.wanted), "cpu_seconds": seconds}
            rows[variant].append(row)
            print(name, seed, number, variant, {k: round(v, 4) for k, v in row.items()}, flush=True)
    return rows


def _copy(trainer: Trainer) -> Trainer:
    return pickle.loads(pickle.dumps(trainer))


def summary(runs: list[dict[str, list[dict[str, float]]]]) -> dict[str, Any]:
    """Means over the days as shares of a retraining: their mean over seeds, least and largest."""
    result = {}
    for variant in runs[0]:
        shares: dict[str, list[float]] = {what: [] for what in METRICS}
        for rows in runs:
            for what, values in shares.items():
                mine, full = ([row[what] for row in rows[of]] for of in (variant, RETRAINED))
                values.append(clock.ratio(statistics.mean(mine), statistics.mean(full)))
        result[variant] = {
            what: [round(x, DIGITS) for x in (statistics.mean(v), min(v), max(v))]
            for what, v in shares.items()
        }
    return result


def by_day(
    runs: list[dict[str, list[dict[str, float]]]],
) -> dict[str, dict[str, list[list[float]]]]:
    """Quality after each day as a share of a retraining: mean over seeds and its standard error."""
    result: dict[str, dict[str, list[list[float]]]] = {}
    for variant in runs[0]:
        result[variant] = {what: [] for what in QUALITY}
        for day, what in itertools.product(range(len(runs[0][variant])), QUALITY):
            shares = [rows[variant][day][what] / rows[RETRAINED][day][what] for rows in runs]
            error = statistics.stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
            result[variant][what].append(
                [round(statistics.mean(shares), DIGITS), round(error, DIGITS)]
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=["drift"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--days", type=int)
    parser.add_argument("--epochs", type=int, nargs="+", default=[PARTIAL_EPOCHS])
    parser.add_argument("--replay", type=float, nargs="+", default=[REPLAY])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    variants = {
        f"{n} epochs, replay {replay:g}": {"n_epochs": n, "replay": replay}
        for n in options.epochs
        for replay in options.replay
    }
    result: dict[str, Any] = {}
    for name in options.streams:
        n_days = options.days or N_DAYS[name]
        runs = [run(name, seed, n_days, options.folder, variants) for seed in range(options.seeds)]
        result[name] = {
            "days": n_days,
            "seeds": options.seeds,
            "shares of a retraining: mean, least, largest": summary(runs),
            "after each day: mean over seeds, standard error": by_day(runs),
        }
        print(results_file.dumps(result[name]["shares of a retraining: mean, least, largest"]))
    print(results_file.write(MODULE, result, options.out), file=sys.stderr)


if __name__ == "__main__":
    main()
