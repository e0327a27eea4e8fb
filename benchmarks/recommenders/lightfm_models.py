"""LightFM: BPR, WARP, and the hybrid with features, in a Python environment of its own.

LightFM does not work with NumPy 2, so a process in another environment trains
(``lightfm_worker.py``) and writes its vectors to a file after every few epochs.
``lightfm_requirements.txt`` says how to make that environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial

# The interpreter that has LightFM.
PYTHON = os.environ.get("LIGHTFM_PYTHON", "lightfm-env/bin/python")
WORKER = Path(__file__).with_name("lightfm_worker.py")
N_COMPONENTS, EVERY = 100, 2


class Worker:
    """The process that trains LightFM; a context manager."""

    def __init__(self, loss: str, data: Data, settings: Settings, seed: int) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        sp.save_npz(self.folder / "likes.npz", sp.csr_matrix(data.likes))
        if data.item_features is not None:
            sp.save_npz(self.folder / "features.npz", sp.csr_matrix(data.item_features))
        options = json.dumps({"loss": loss, "random_state": seed, **settings})
        self.process = subprocess.Popen(
            [PYTHON, str(WORKER), self.temporary.name, options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fit(self, n_epochs: int) -> dict[str, float]:
        """Train for some more epochs and return the "cpu_seconds" and "wall_seconds" it took."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(n_epochs, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("LightFM's process has ended; its error is printed above")
        return json.loads(line)  # type: ignore[no-any-return]

    def scores(self, cpu_seconds: float) -> Scores:
        with np.load(self.folder / "vectors.npz") as vectors:
            scores = Scores.with_biases(vectors["users"], vectors["items"], vectors["biases"])
        return replace(scores, cpu_seconds=cpu_seconds)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.communicate()  # it ends with its input
        self.temporary.cleanup()


def train(loss: str, data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    with Worker(loss, data, settings, seed) as worker:
        cpu_seconds = 0.0
        while True:
            cpu_seconds += worker.fit(EVERY)["cpu_seconds"]
            yield worker.scores(cpu_seconds)


def _search(trial: Trial) -> Settings:
    return {
        "no_components": N_COMPONENTS,
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
        "item_alpha": trial.suggest_float("item_alpha", 1e-8, 1e-3, log=True),
        "user_alpha": trial.suggest_float("user_alpha", 1e-8, 1e-3, log=True),
    }


_FIRST = {
    "no_components": N_COMPONENTS,
    "learning_rate": 0.05,
    "item_alpha": 1e-6,
    "user_alpha": 1e-6,
}

RECOMMENDERS = [
    Recommender(
        name,
        "lightfm",
        partial(train, loss),
        _search,
        _FIRST,
        n_epochs=150,
        every=EVERY,
        with_features=with_features,
    )
    for name, loss, with_features in (
        ("BPR (LightFM)", "bpr", False),
        ("WARP (LightFM)", "warp", False),
        ("hybrid WARP (LightFM)", "warp", True),
    )
]


def _ask(code: str) -> str | None:
    """What LightFM's Python prints; None if there is no such Python or the code fails."""
    if not Path(PYTHON).exists():
        return None
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def version() -> str | None:
    return _ask("import lightfm; print(lightfm.__version__)")


def why_absent() -> str | None:
    if version() is not None:
        return None
    return (
        f"{PYTHON} cannot import lightfm: make that environment as benchmarks/recommenders/"
        "lightfm_requirements.txt says, or name its Python in LIGHTFM_PYTHON"
    )
