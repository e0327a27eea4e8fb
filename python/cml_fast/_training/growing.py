"""What an update begins with: the rows of known users and items, and new rows behind them.

A training that goes on has two kinds of vectors: those that it steps, and their averages over
epochs, which are the model. In a few epochs, what is stepped depends much on the last draws, so
the averages of the last fit go on, too, as far as the likes of a row are still the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.array_api import to_numpy
from .._compute.feature_network import FeatureNetwork, into_ball
from .._compute.tables import Tables, random_vectors
from .ema import ENTITIES, MovingAverages
from .feature_step import has_features, has_likes
from .fold_in import mean_vectors
from .likes import item_counts
from .state import TrainingState

Vectors = Mapping[str, np.ndarray]
Begun = tuple[Tables, MovingAverages | None]

# New rows begin with the squared gradients that as many likes as theirs have on average, times
# this: so they learn faster than the old rows, and do not leave the place where they begin at once.
SHARE_OF_ACCUMULATORS = 0.03


def grown(
    state: TrainingState,
    known: Vectors,
    likes: sp.csr_array,
    known_likes: sp.csr_array,
    users: np.ndarray,
    features: Mapping[str, sp.csr_array | np.ndarray],
    max_norm: float,
    decay: float,
    generator: np.random.Generator,
) -> Begun:
    """Return tables and averages for all users and items of ``likes``: old rows, and new ones.

    Old rows keep their accumulators, and go on from the vectors of ``state`` if these are averaged,
    else from those of the model; those that had neither likes nor features have learned nothing,
    and count as new. New items that old users like begin at the mean of these users, and new users
    at the mean of the items they like. New items that only new users like then begin at the mean of
    those. The others begin where their features place them, or at random, as in a fit. The averages
    are on the CPU.

    Parameters
    ----------
    state : TrainingState
        Of the last fit. Not changed.
    known : mapping of str to numpy.ndarray
        The vectors of the model: "users" and "items" of the old rows.
    likes : scipy.sparse.csr_array, (n_users, n_items), float32
        All likes, old and new, with the weights for training; old rows and columns come first.
    known_likes : scipy.sparse.csr_array, (n_old_users, n_old_items)
        What the old rows were trained on.
    users : numpy.ndarray, (m,), int64
        The users that will be trained. Others stay as they are in the model.
    features : mapping of str to matrix
        Of "users" and "items", where ``state`` has networks for them.
    max_norm : float
    decay : float
        Of the averages; 0: there are none.
    generator : numpy.random.Generator
        For rows that begin at random.
    """
    n_old = state.tables.shape
    vectors = dict(known)
    placed: dict[str, np.ndarray] = {}
    for (entity, old), n, old_rows in zip(vectors.items(), likes.shape, n_old, strict=True):
        new = random_vectors((n - old_rows, old.shape[1]), max_norm, generator)
        vectors[entity] = np.concatenate([old, new])
        placed[entity] = np.zeros(n, dtype=bool)
        placed[entity][:old_rows] = has_likes(known_likes, entity)
        if entity in features and entity in state.networks:
            placed[entity][:old_rows] |= has_features(features[entity])[:old_rows]
            network = state.networks[entity]
            _place_by_features(vectors[entity], network, features[entity], old_rows, max_norm)
    is_new = {entity: ~rows for entity, rows in placed.items()}
    by_item = sp.csr_array(likes.T)
    for entity, others, links in (
        ("items", "users", by_item),
        ("users", "items", likes),
        ("items", "users", by_item),
    ):
        _place_by_likes(
            vectors[entity], placed[entity], vectors[others], placed[others], links, max_norm
        )
    arrays = state.tables.to_numpy()
    for entity, links in (("users", likes), ("items", by_item)):
        old = arrays[name := f"{entity[:-1]}_accumulators"]
        of_a_like = old.sum(axis=0, dtype=np.float64) * (SHARE_OF_ACCUMULATORS / known_likes.nnz)
        n_linked = np.diff(links.indptr)
        arrays[name] = (n_linked[:, None] * of_a_like).astype(np.float32)
        kept = np.flatnonzero(~is_new[entity][: len(old)] | (n_linked[: len(old)] == 0))
        arrays[name][kept] = old[kept]
    averages, stepped = None, vectors
    if state.averages is not None and decay > 0:
        weights = _weights(state.averages, likes, known_likes, users, decay)
        stepped = {entity: vectors[entity].copy() for entity in ENTITIES}
        for entity in ENTITIES:  # where an average goes on, the row does, too
            rows = np.flatnonzero(weights[entity])
            stepped[entity][rows] = arrays[entity][rows]
        last = state.n_epochs - 1
        averages = MovingAverages(vectors, last, last, weights)
    tables = Tables(
        state.tables.device, state.tables.n_dims, **(arrays | stepped), rowwise=state.tables.rowwise
    )
    return tables, averages


def _weights(
    averages: MovingAverages,
    likes: sp.csr_array,
    known_likes: sp.csr_array,
    users: np.ndarray,
    decay: float,
) -> dict[str, np.ndarray]:
    """What the earlier epochs of each row weigh in its average: see `MovingAverages.weights`.

    That is as much as the share of its likes that were known before, to the power of 8: where many
    likes are new, the average should not stay where it was. Users who are not trained do not move,
    so theirs begins anew at the vector of the model.
    """
    weights = {}
    for entity, known, counts in (
        ("users", np.diff(known_likes.indptr), np.diff(likes.indptr)),
        ("items", item_counts(known_likes), item_counts(likes)),
    ):
        goes_on = known > 0
        if entity == "users":
            goes_on &= np.isin(np.arange(len(known)), users)
        rows = np.flatnonzero(goes_on)
        share = known[rows] / counts[rows]
        for _ in range(3):  # not a power, whose bits depend on the machine
            share *= share
        weights[entity] = np.zeros(len(counts))
        weights[entity][rows] = share * averages.weights_of(entity, decay)[rows]
    return weights


def _place_by_likes(
    vectors: np.ndarray,
    placed: np.ndarray,
    others: np.ndarray,
    others_placed: np.ndarray,
    links: sp.csr_array,
    max_norm: float,
) -> None:
    """Move the rows that have no place to the means of the placed objects they are linked to."""
    rows = np.flatnonzero(~placed)
    to_known = sp.csr_array(links[rows])
    to_known.data[~others_placed[to_known.indices]] = 0
    to_known.eliminate_zeros()
    some = np.flatnonzero(np.diff(to_known.indptr))
    if some.size:
        vectors[rows[some]] = mean_vectors(others, sp.csr_array(to_known[some]), max_norm)
        placed[rows[some]] = True


def _place_by_features(
    vectors: np.ndarray,
    network: FeatureNetwork,
    features: Any,
    n_old: int,
    max_norm: float,
) -> None:
    rows = np.flatnonzero(has_features(features))
    rows = rows[rows >= n_old]
    if rows.size:
        embedded = network.on(np).embed(features[rows])
        vectors[rows] = to_numpy(into_ball(embedded, max_norm))
