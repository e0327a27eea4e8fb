"""Whether likes should count less the older they are: quality on likes that come later.

    python -m benchmarks.studies.recency

Likes are weighed by `weigh_by_recency` with several half-lives, and those of the time after
training are ranked. ml-latest-small is split by time: the last tenth of its likes is the test part,
which is not used. Of the rest, training has the first 40% to 90%, and validation the tenth after
it: few users come back later, so one split would have only twenty of them. "drift" is the made-up
stream of `benchmarks.studies.stream`, whose users change their tastes; its last day is ranked.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast.data import Interactions, load_interactions, split_by_time, weigh_by_recency
from cml_fast.metrics import measure

from ..common import datasets, results_file
from .stream import DIGITS, FIXED, NDCG, RECALL, drifting

MODULE = "benchmarks.studies.recency"
DAY = 24 * 3600.0
LATEST = 0.1
N_DAYS = 8
# Splits of the one, seeds of the other.
REPEATS = {"ml-latest-small": 6, "drift": 3}
# In the units of the timestamps: seconds, and days of the stream.
HALF_LIVES = {
    "ml-latest-small": [30 * DAY, 180 * DAY, 730 * DAY, 3650 * DAY],
    "drift": [1.0, 2.0, 4.0, 8.0],
}

Parts = tuple[Interactions, Interactions]


def by_time(seed: int, folder: Path) -> Parts:
    path = folder / "ml-latest-small" / "ratings.csv"
    likes = load_interactions(
        path, user="userId", item="movieId", rating="rating", timestamp="timestamp", min_rating=4
    )
    before, _ = split_by_time(likes, LATEST)
    begin, end = np.quantile(before.timestamps, [0.4 + LATEST * seed, 0.4 + LATEST * (seed + 1)])
    train, later = split_by_time(before, at=begin)
    if end >= later.timestamps.max():
        return train, later
    return train, split_by_time(later, at=end)[0]


def by_day(seed: int, folder: Path) -> Parts:
    days = list(drifting(seed, N_DAYS, folder))
    frames = [day.new.to_frame("pyarrow") for day in days]
    users, items = (
        np.concatenate([f[name].to_numpy() for f in frames]) for name in ("user", "item")
    )
    times = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
    train = Interactions.from_arrays(users, items, timestamps=times)
    last = days[-1].wanted.to_frame("pyarrow")
    validation = Interactions.from_arrays(
        last["user"].to_numpy(),
        last["item"].to_numpy(),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
        unknown="drop",
    )
    return train, validation


DATA: dict[str, Callable[[int, Path], Parts]] = {"ml-latest-small": by_time, "drift": by_day}


def quality(name: str, seed: int, train: Interactions, validation: Interactions) -> list[float]:
    """Recall and NDCG of the later likes of users with earlier ones."""
    settings = {**FIXED, "random_state": seed}
    model = Trainer(**settings, weighting="linear").fit(train).model_
    known = np.diff(train.matrix.indptr) > 0
    wanted = sp.csr_array(validation.matrix.multiply(known[:, None]))
    measured = measure(
        model.user_vectors, model.item_vectors, wanted, train.matrix, [NDCG, RECALL], n_threads=1
    )
    return [measured.recall[RECALL], measured.ndcg[NDCG]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    for name, load in DATA.items():
        rows: dict[str, list[list[float]]] = {}
        for seed in range(REPEATS[name]):
            train, validation = load(seed, options.folder)
            for half_life in [None, *HALF_LIVES[name]]:
                weighed = train if half_life is None else weigh_by_recency(train, half_life)
                unit = DAY if name == "ml-latest-small" else 1.0
                label = "none" if half_life is None else f"{half_life / unit:g} days"
                rows.setdefault(label, []).append(quality(name, seed, weighed, validation))
                print(name, seed, label, np.round(rows[label][-1], DIGITS), flush=True)
        result[name] = {
            label: {
                metric: [round(statistics.mean(column), DIGITS)]
                + [round(of(ratios), DIGITS) for of in (statistics.mean, min, max)]
                for metric, column, plain in zip(
                    ("recall", "ndcg"),
                    zip(*values, strict=True),
                    zip(*rows["none"], strict=True),
                    strict=True,
                )
                if (ratios := [one / other for one, other in zip(column, plain, strict=True)])
            }
            for label, values in rows.items()
        }
    print(
        results_file.write(
            MODULE,
            {"half-lives: mean; as a share of none: mean, least, largest": result},
            options.out,
        ),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
