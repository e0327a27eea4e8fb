"""One number for how well a model ranks likes, as `Trainer.score` returns it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ._validation.matrices import check_matrix
from ._validation.scalars import check_choice, check_int
from .data import Interactions, split
from .data._alignment import interaction_rows, item_interactions
from .data._ids import IdIndex
from .errors import DataError
from .metrics import measure
from .metrics.registry import METRICS_OF_HITS
from .model import Model

# What is measured unless something else is asked for, as in the validation of a training.
METRIC = "recall"
K = 50
# Of the likes of a new user, the share that is hidden and looked for.
HIDDEN = 0.2
# A user with fewer likes cannot be divided into those that place the user and those to be found.
MIN_LIKES = 2


def check_measure(metric: str, k: int) -> None:
    """Raise ValueError or TypeError for what cannot be measured."""
    check_choice("metric", metric, METRICS_OF_HITS)
    check_int("k", k, 1)


def score(
    model: Model,
    train: sp.csr_array,
    likes: sp.sparray | sp.spmatrix | Interactions,
    metric: str,
    k: int,
    n_threads: int | None,
) -> float:
    """Return the mean of a metric; see `Trainer.score`."""
    check_measure(metric, k)
    if _are_of_trained_users(model, likes):
        space = (np.arange(len(model.user_vectors)), model.user_ids, model.item_ids)
        wanted = interaction_rows("X", likes, *space)
        wanted, known = _positions(wanted), _positions(train)
        overlap = wanted.multiply(known).nnz
        if 0 < overlap < wanted.nnz:
            raise DataError(
                f"X has {overlap} likes that the trainer was fitted on, and {wanted.nnz - overlap} "
                "others: give likes that were held out of the training, or only likes of the "
                "training; if the rows of X are other users, give Interactions with their ids"
            )
        exclude = known - wanted.multiply(known)
        exclude.eliminate_zeros()
        users = model.user_vectors
    else:
        aligned = item_interactions("X", likes, model._items)
        exclude, wanted = split(aligned, (1 - HIDDEN, HIDDEN), min_interactions=MIN_LIKES)
        kept = np.flatnonzero(np.diff(wanted.indptr))
        exclude, wanted = exclude[kept], wanted[kept]
        users = np.empty((0, 0), dtype=np.float32)
        if len(kept):
            users = model.fold_in_users(exclude, n_threads=n_threads)
    if wanted.nnz == 0:
        raise DataError("X has no likes to be found, so there is nothing to score")
    found = measure(users, model.item_vectors, wanted, exclude, [k], [metric], n_threads=n_threads)
    return found.means(metric)[k]


def _are_of_trained_users(model: Model, likes: sp.sparray | sp.spmatrix | Interactions) -> bool:
    """Whether the rows are the users that the model was trained with, and not all new ones."""
    if not isinstance(likes, Interactions):
        # Checked here, so that a matrix of the wrong kind is called X in the message.
        return bool(check_matrix("X", likes).shape[0] == len(model.user_vectors))
    users = IdIndex("X.user", likes.user_ids, likes.matrix.shape[0])
    known = model._users.find(users.array) >= 0
    if not known.any():
        return False
    if len(known) != len(model.user_ids) or not known.all():
        raise DataError(
            f"X has {known.sum()} users of the training and {(~known).sum()} new ones, of "
            f"{len(model.user_ids)} users of the training in all: give likes with the user_ids of "
            "the training, or of new users only"
        )
    return True


def _positions(matrix: sp.csr_array) -> sp.csr_array:
    """The same entries, all of value 1."""
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return sp.csr_array((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
