"""Popularity, and EASE in closed form."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from ..common.ranking import Scores
from .recommender import Data, Recommender, Settings, Trial


def popularity(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    n_users, n_items = data.likes.shape
    counts = np.bincount(data.likes.indices, minlength=n_items)
    yield Scores(np.ones((n_users, 1), dtype=np.float32), counts[:, None].astype(np.float32))


def ease(data: Data, settings: Settings, seed: int) -> Generator[Scores, None, None]:
    """Item-item weights B = I - P / diag(P), P = (X^T X + w I)^-1 (Steck, WWW 2019, eq. 8).

    The data sets have fewer users than items, so P is not computed: X P = M X with
    M = (X X^T + w I)^-1, and w P_jj = 1 - x_j^T M x_j. The scores are X B - X; subtracting X
    changes only the items that the user has, which are in no ranking.
    """
    likes, weight = data.likes.astype(np.float32), np.float32(settings["weight"])
    kernel = (likes @ likes.T).toarray(order="F")
    kernel[np.diag_indices_from(kernel)] += weight
    lower, _ = lapack.spotrf(kernel, lower=1, overwrite_a=1)
    inverse, _ = lapack.spotri(lower, lower=1, overwrite_c=1)
    for column in range(len(inverse)):  # the upper half, in place
        inverse[column, column + 1 :] = inverse[column + 1 :, column]
    by_item = likes.T.tocsr()
    diagonal = np.empty(likes.shape[1], dtype=np.float32)
    for item in range(likes.shape[1]):
        users = by_item.indices[by_item.indptr[item] : by_item.indptr[item + 1]]
        diagonal[item] = 1 - inverse[np.ix_(users, users)].sum()
    yield Scores(inverse, sp.csr_array(sp.diags_array(-weight / diagonal) @ by_item))


def _search_ease(trial: Trial) -> Settings:
    return {"weight": trial.suggest_float("weight", 1, 10_000, log=True)}


RECOMMENDERS = [
    Recommender("most popular", None, popularity, lambda trial: {}, {}, draws=False),
    Recommender("EASE", None, ease, _search_ease, {"weight": 250.0}, max_users=30_000, draws=False),
]
