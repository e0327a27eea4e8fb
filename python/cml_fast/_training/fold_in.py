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
    tables: Tables | None = None,
) -> np.ndarray:
    """Train a vector for each row of ``likes``, a new user; see `Model.fold_in_users`.

    A hyper-parameter is taken from ``overrides`` if it is there and not None, else from those the
    model was trained with (``stored``), else it is the default of `Trainer`. ``tables`` are those
    of `item_tables` for the same items and ``stored``; without them they are made for this call.
    """
    empty = np.flatnonzero(np.diff(likes.indptr) == 0)
    if empty.size:
        rows = ", ".join(map(str, empty[:NAMED])) + (", ..." if empty.size > NAMED else "")
        raise DataError(
            f"interactions has {empty.size} rows without a like, which cannot be placed: {rows}"
        )
    n_epochs = check_int("n_epochs", n_epochs, 1, 2**31 - 1)
    params = _params(items, stored)
    params |= {name: value for name, value in overrides.items() if value is not None}
    params |= {"n_threads": n_threads}
    settings = check_settings(params, likes.shape)
    if overrides.get("learning_rate") is None:
        settings = settings.steady()
    likes = weigh_by_user(likes, params["weighting"] or "linear")
    with drawing_from(random_state) as generator:
        settings = replace(settings, seed=int(generator.integers(2**63)))
        start = mean_vectors(items, likes, settings.max_norm)
        tables = tables or _tables(items, settings)
        return train_users(tables, likes, start, n_epochs, settings)


def item_tables(items: np.ndarray, stored: dict[str, Any]) -> Tables:
    """Copy the items into tables, which any number of calls of `fold_in` can share.

    Copying takes longer than folding in one user.
    """
    return _tables(items, check_settings(_params(items, stored), (1, len(items))))


def _params(items: np.ndarray, stored: dict[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters of a model, those of `Trainer` where it has none."""
    names = [name for name, row in HYPERPARAMETERS.items() if row.folds_in]
    params = {name: row.signature_default for name, row in HYPERPARAMETERS.items()}
    if "learning_rate" in stored:
        params["learning_rate_decay"] = 0.0  # of models that do not have it
    params |= {name: stored[name] for name in names if name in stored}
    return params | {"n_dims": items.shape[1]}


def _tables(items: np.ndarray, settings: Settings) -> Tables:
    """Return tables of the items, without users."""
    nobody = np.empty((0, settings.n_dims), dtype=np.float32)
    return Tables("cpu", settings.n_dims, nobody, items, rowwise=settings.rowwise)


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
    tables: Tables, likes: sp.csr_array, start: np.ndarray, n_epochs: int, settings: Settings
) -> np.ndarray:
    """Train the users from where they start, with the items fixed: (m, r), float32."""
    tables = tables.with_users(start)
    job = make_job(tables, likes, replace(settings, batch_size=0))
    for begin in range(0, len(start), LAUNCHED):
        end = min(begin + LAUNCHED, len(start))
        refused = job.fold_in(begin, end, n_epochs, settings.user_retention)
        if refused is not None:
            raise TrainingDiverged(
                f"row {refused} of interactions cannot be placed: a value was not finite; the "
                "model's vectors, or learning_rate, are too large"
            )
    return tables.user_vectors()
