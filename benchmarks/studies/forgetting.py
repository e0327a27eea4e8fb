"""How far `Trainer.forget` removes the influence of users: can one still tell that they were there?

    python -m benchmarks.studies.forgetting

A twentieth of the users of a data set is forgotten, with several numbers of epochs of retraining.
Then a fifth of the likes of each of them is hidden, the user is placed by the others, and the
hidden ones are looked for (`Trainer.score`). A model that has learned from these likes finds more
of them than one that has never seen these users: so much is left of what it knew of them.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import Trainer
from cml_fast.data import Interactions

from ..common import datasets, results_file
from .stream import DIGITS, FIXED

MODULE = "benchmarks.studies.forgetting"
SHARE = 0.05
EPOCHS = (0, 2, 4, 8, 16)


def run(name: str, seed: int, folder: Path) -> dict[str, list[float]]:
    """Recall of the forgotten users' likes, and CPU-seconds, by what was done."""
    likes, validation, _ = datasets.load(name, folder, seed)
    settings = {**FIXED, "random_state": seed}
    rng = np.random.default_rng(seed)
    several = np.flatnonzero(np.diff(likes.matrix.indptr) > 1)
    gone = np.sort(rng.choice(several, int(SHARE * len(several)), replace=False))
    left = np.setdiff1d(np.arange(len(likes.user_ids)), gone)
    theirs, others = (
        Interactions(likes.matrix[rows], likes.user_ids[rows], likes.item_ids)
        for rows in (gone, left)
    )
    later = Interactions(validation.matrix[left], likes.user_ids[left], likes.item_ids)
    rows: dict[str, list[float]] = {}

    def note(label: str, trainer: Trainer, seconds: float) -> None:
        rows[label] = [trainer.score(theirs), trainer.score(later), seconds]
        print(name, seed, label, np.round(rows[label], DIGITS), flush=True)

    fitted = Trainer(**settings).fit(likes)
    for n_epochs in EPOCHS:
        trainer = pickle.loads(pickle.dumps(fitted))
        begun = time.process_time()
        trainer.forget(users=likes.user_ids[gone], n_epochs=n_epochs)
        note(f"forgotten, {n_epochs} epochs", trainer, time.process_time() - begun)
    begun = time.process_time()
    never = Trainer(**settings).fit(others)
    note("never seen", never, time.process_time() - begun)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-latest-small")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=datasets.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    runs = [run(options.data, seed, options.folder) for seed in range(options.seeds)]
    summary: dict[str, Any] = {}
    for label in runs[0]:
        values = [rows[label] for rows in runs]
        excess = [rows[label][0] - rows["never seen"][0] for rows in runs]
        columns = list(zip(*values, strict=True))
        summary[label] = {
            what: [round(x, DIGITS) for x in (statistics.mean(v), min(v), max(v))]
            for what, v in {
                "recall of their likes": columns[0],
                "above never seen": excess,
                "validation recall of the others": columns[1],
                "CPU-seconds": columns[2],
            }.items()
        }
    result = {"data": options.data, "seeds": options.seeds, "mean, least, largest": summary}
    print(results_file.write(MODULE, result, options.out), file=sys.stderr)


if __name__ == "__main__":
    main()
