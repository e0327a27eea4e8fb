"""LightFM: BPR, WARP, and the hybrid with features, in a Python of its own.

LightFM does not work with today's NumPy, so another process trains (``lightfm_worker.py``) and
hands over its vectors after every few epochs. How its environment is made:
``baselines/lightfm_requirements.txt``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..ranking import Scores
from .peer import Data, Peer, Settings, Trial

# The interpreter that has LightFM.
PYTHON = os.environ.get("LIGHTFM_PYTHON", "lightfm-env/bin/python")
WORKER = Path(__file__).with_name("lightfm_worker.py")
N_COMPONENTS, EVERY = 100, 2


def train(loss: str, data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sp.save_npz(folder / "likes.npz", sp.csr_matrix(data.likes))
        if data.item_features is not None:
            sp.save_npz(folder / "features.npz", sp.csr_matrix(data.item_features))
        options = {"loss": loss, "random_state": seed, **settings}
        command = [PYTHON, str(WORKER), name, json.dumps(options)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as worker:
            assert worker.stdin is not None and worker.stdout is not None
            try:
                while True:
                    print(EVERY, file=worker.stdin, flush=True)
                    if not worker.stdout.readline():
                        raise RuntimeError("LightFM's process has ended; its words are above")
                    with np.load(folder / "vectors.npz") as vectors:
                        yield Scores.with_biases(
                            vectors["users"], vectors["items"], vectors["biases"]
                        )
            finally:
                worker.stdin.close()


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

PEERS = [
    Peer(
        name,
        "lightfm",
        partial(train, loss),
        _search,
        _FIRST,
        n_epochs=40,
        every=EVERY,
        with_features=with_features,
    )
    for name, loss, with_features in (
        ("BPR (LightFM)", "bpr", False),
        ("WARP (LightFM)", "warp", False),
        ("hybrid WARP (LightFM)", "warp", True),
    )
]


def why_absent() -> str | None:
    done = (
        subprocess.run(
            [PYTHON, "-c", "import lightfm"], capture_output=True, text=True, check=False
        )
        if Path(PYTHON).exists()
        else None
    )
    if done is not None and done.returncode == 0:
        return None
    return (
        f"{PYTHON} cannot import lightfm: make that environment as "
        "benchmarks/baselines/lightfm_requirements.txt says, or name its Python in LIGHTFM_PYTHON"
    )
