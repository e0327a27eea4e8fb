"""Ask for the top K items of one user after another: measure the time, and what is found.

Every method of search is a call of `Model.recommend` with the items that the user has had in
training as ``exclude``: all that it does for one user is within the measured time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from cml_fast import Model
from cml_fast.metrics import measure_rankings

from .indexes import Search

ROUNDS, WARM_UP = 5, 20


class Questions(NamedTuple):
    """Users to find items for."""

    model: Model
    users: np.ndarray  # rows of the model
    had: sp.csr_array  # items of training, of all users
    wanted: sp.csr_array  # held-out items, at least one; of the users asked for


# --- time ---------------------------------------------------------------------------------------


class Answers(NamedTuple):
    ranked: np.ndarray  # (users, k), nearest first; -1: no more
    wall: np.ndarray  # seconds of each user
    cpu: list[float]  # mean seconds of a user, for each round


def ask(search: Search, questions: Questions, rows: Sequence[int], k: int) -> Answers:
    found, wall = [], []
    cpu = time.process_time()
    for row in rows:
        started = time.perf_counter()
        found.append(search(int(questions.users[row]), k))
        wall.append(time.perf_counter() - started)
    cpu = (time.process_time() - cpu) / len(rows)
    return Answers(np.array(found), np.array(wall), [cpu])


def in_turn(
    ways: Mapping[str, tuple[Search, int]], questions: Questions, k: int
) -> dict[str, Answers]:
    """Ask each method, for every so-many-th user, in turn on parts of the users, on one thread."""
    from threadpoolctl import threadpool_limits

    rows = np.arange(len(questions.users))
    parts: dict[str, list[Answers]] = {name: [] for name in ways}
    with threadpool_limits(1):
        for search, _ in ways.values():
            ask(search, questions, rows[:WARM_UP], k)
        for part in np.array_split(rows, ROUNDS):
            for name, (search, every) in ways.items():
                parts[name].append(ask(search, questions, part[::every], k))
    return {
        name: Answers(
            np.concatenate([part.ranked for part in found]),
            np.concatenate([part.wall for part in found]),
            [part.cpu[0] for part in found],
        )
        for name, found in parts.items()
    }


def times(answers: Answers) -> dict[str, float]:
    """Microseconds of a query."""
    return {
        "us_mean": float(answers.wall.mean() * 1e6),
        "us_median": float(np.median(answers.wall) * 1e6),
        "us_cpu": float(np.mean(answers.cpu) * 1e6),
    }


# --- what is found ------------------------------------------------------------------------------


def recalls(ranked: np.ndarray, wanted: sp.csr_array, k: int) -> np.ndarray:
    """The recall of each user."""
    found = measure_rankings(lambda users, n: ranked[users, :n], wanted, [k])
    return found.per_user["recall"][k]


def overlap(ranked: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact items that are found, in any order."""
    shared = sum(
        len(set(row[row >= 0].tolist()) & set(other.tolist()))
        for row, other in zip(exact, ranked, strict=True)
    )
    return shared / int((exact >= 0).sum())
