"""Folding in: training the vectors of new users from their likes, with the items fixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.kernels import make_job
from .._compute.settings import Settings
from .._compute.tables import Tables
from .._validation.scalars import check_int, drawing_from
from ..errors import DataError, TrainingDiverged
from .hyperparameters import HYPERPARAMETERS, check_settings
from .weighting import weigh_by_user

# Users placed by one launch, which cannot be interrupted.
LAUNCHED = 1024
# Rows that a message names.
NAMED = 5


def fold_in(
    items: np.ndarray,
    likes: sp.csr_array,
    stored: dict[str, Any],
    overrides: dict[str, Any],
    *,
    n_epochs: int,
    random_state: Any,
    n_threads: int | None,
) -> np.ndarray:
    """Train a vector for each row of ``likes``, a new user; see `Model.fold_in_users`.

    A hyper-parameter is taken from ``overrides`` if it is there and not None, else from those the
    model was trained with (``stored``), else it is the default of `Trainer`.
    """
    empty = np.flatnonzero(np.diff(likes.indptr) == 0)
    if empty.size:
        rows = ", ".join(map(str, empty[:NAMED])) + (", ..." if empty.size > NAMED else "")
        raise DataError(
            f"interactions has {empty.size} rows without a like, which cannot be placed: {rows}"
        )
    n_epochs = check_int("n_epochs", n_epochs, 1, 2**31 - 1)
    names = [name for name, row in HYPERPARAMETERS.items() if row.folds_in]
    params = {name: row.signature_default for name, row in HYPERPARAMETERS.items()}
    params |= {name: stored[name] for name in names if name in stored}
    params |= {name: value for name, value in overrides.items() if value is not None}
    params |= {"n_dims": items.shape[1], "n_threads": n_threads}
    settings = check_settings(params, likes.shape)
    likes = weigh_by_user(likes, params["weighting"] or "linear")
    with drawing_from(random_state) as generator:
        settings = replace(settings, seed=int(generator.integers(2**63)))
        start = mean_vectors(items, likes, settings.max_norm)
        return train_users(items, likes, start, n_epochs, settings)


def mean_vectors(items: np.ndarray, likes: sp.csr_array, max_norm: float) -> np.ndarray:
    """The weighted mean of each user's likes, pulled into the ball: (m, r), float32."""
    used, columns = np.unique(likes.indices, return_inverse=True)
    shares = sp.csr_array(
        (likes.data.astype(np.float64), columns, likes.indptr), shape=(likes.shape[0], len(used))
    )
    means: np.ndarray = (shares @ items[used].astype(np.float64)) / shares.sum(axis=1)[:, None]
    means *= max_norm / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), max_norm)
    return means.astype(np.float32)


def train_users(
    items: np.ndarray, likes: sp.csr_array, start: np.ndarray, n_epochs: int, settings: Settings
) -> np.ndarray:
    """Train the users from where they start, with the items fixed: (m, r), float32."""
    tables = Tables("cpu", settings.n_dims, start, items, rowwise=settings.rowwise)
    job = make_job(tables, likes, replace(settings, batch_size=0))
    for begin in range(0, len(start), LAUNCHED):
        refused = job.fold_in(begin, min(begin + LAUNCHED, len(start)), n_epochs)
        if refused is not None:
            raise TrainingDiverged(
                f"row {refused} of interactions cannot be placed: a value was not finite; the "
                "model's vectors, or learning_rate, are too large"
            )
    return tables.vectors()[0]
