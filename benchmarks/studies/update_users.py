"""`Model.update_users`: passes, recall and milliseconds a user; and what a call costs besides.

python -m benchmarks.studies.update_users
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Model, Trainer
from cml_fast.metrics import measure

from ..common import datasets, results_file
from .stream import DIGITS, FIXED, RECALL

MODULE = "benchmarks.studies.update_users"
# Data sets, with temperature and epochs of training.
DATA = {"ml-latest-small": (0.3, 40), "citeulike-t": (0.21, 15)}
PASSES = (5, 10, 20, 50)
N_ITEMS, N_DIMS, N_LIKES = 41_000, 100, 30
N_USERS = (30_000, 1_000_000)
REPEATS = 5


def by_passes(name: str, temperature: float, n_epochs: int, folder: Path) -> dict[str, Any]:
    train, validation, _ = datasets.load(name, folder)
    trainer = Trainer(**{**FIXED, "temperature": temperature}, n_epochs=n_epochs)
    model = trainer.fit(train).model_

    def recall(model: Model) -> float:
        vectors = model.user_vectors, model.item_vectors
        measured = measure(*vectors, validation.matrix, train.matrix, [RECALL], n_threads=1)
        return round(measured.recall[RECALL], DIGITS)

    n_users = len(model.user_ids)
    result: dict[str, Any] = {"likes a user": train.matrix.nnz / n_users, "trained": recall(model)}
    for n in PASSES:
        begun = time.process_time()
        updated = model.update_users(train, n_epochs=n, n_threads=1)
        seconds = time.process_time() - begun
        result[f"{n} passes"] = [recall(updated), round(1e3 * seconds / n_users, DIGITS)]
    return result


def one_call(n_users: int) -> float:
    """Milliseconds of a call for one user of a made-up model: the least of several."""
    rng = np.random.default_rng(0)
    vectors = (0.1 * rng.standard_normal((n, N_DIMS), dtype=np.float32) for n in (n_users, N_ITEMS))
    model = Model(*vectors, hyperparameters={"loss": "softmax", "temperature": 0.2})
    liked = rng.choice(N_ITEMS, N_LIKES, replace=False)
    likes = sp.csr_array((np.ones(N_LIKES), (np.zeros(N_LIKES, int), liked)), shape=(1, N_ITEMS))
    model = model.update_users(likes, [0], n_threads=1)  # copies the items
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        model.update_users(likes, [0], n_threads=1)
        seconds.append(time.process_time() - begun)
    return round(1e3 * min(seconds), DIGITS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {
        "recall, and ms a user": {
            name: by_passes(name, *settings, options.folder) for name, settings in DATA.items()
        },
        "ms of a call for one user, by number of users": {n: one_call(n) for n in N_USERS},
    }
    print(results_file.dumps(result))
    print(results_file.write(MODULE, result, options.out), file=sys.stderr)


if __name__ == "__main__":
    main()
