"""Popularity, and EASE in closed form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from ..ranking import Scores
from .peer import Data, Peer, Settings, Trial


def popularity(data: Data, settings: Settings, seed: int) -> Iterator[Scores]:
    n_users, n_items = data.likes.shape
    counts = np.bincount(data.likes.indices, minlength=n_items)
    yield Scores(np.ones((n_users, 1), dtype=np.float32), counts[:, None].astype(np.float32))


def ease(data: Data, settings: Settings, seed: int) -> Iterator[Scores]:
    """Item-item weights B = I - P / diag(P), P = (X^T X + weight I)^-1 (Steck, WWW 2019, eq. 8)."""
    gram = (data.likes.T @ data.likes).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += settings["weight"]
    factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse = scipy.linalg.cho_solve(
        factor, np.eye(len(gram), dtype=np.float32), overwrite_b=True, check_finite=False
    )
    weights = inverse / -np.diag(inverse)  # of item j for item i: column i
    weights[np.diag_indices_from(weights)] = 0
    yield Scores(data.likes.astype(np.float32), weights.T)


def _search_ease(trial: Trial) -> Settings:
    return {"weight": trial.suggest_float("weight", 1, 10_000, log=True)}


PEERS = [
    Peer("most popular", None, popularity, lambda trial: {}, {}),
    Peer("EASE", None, ease, _search_ease, {"weight": 250.0}),
]
