"""Rows for new users and items: where they begin, and how far they step at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.array_api import to_numpy
from .._compute.feature_network import FeatureNetwork, into_ball
from .._compute.tables import Tables, random_vectors
from .feature_step import has_features, has_likes
from .fold_in import mean_vectors
from .state import TrainingState

Vectors = Mapping[str, np.ndarray]

# New rows begin with the squared gradients that as many likes as theirs have on average, times
# this: so they learn faster than the old rows, and do not leave the place where they begin at once.
SHARE_OF_ACCUMULATORS = 0.03


def grown_tables(
    state: TrainingState,
    known: Vectors,
    likes: sp.csr_array,
    known_likes: sp.csr_array,
    features: Mapping[str, sp.csr_array | np.ndarray],
    max_norm: float,
    generator: np.random.Generator,
) -> Tables:
    """Return tables for all users and items of ``likes``: the rows of ``state``, and new ones.

    Old rows keep their vectors and accumulators; those that had neither likes nor features have
    learned nothing, and count as new. New items that old users like begin at the mean of these
    users, and new users at the mean of the items they like. New items that only new users like then
    begin at the mean of those. The others begin where their features place them, or at random, as
    in a fit.

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
    features : mapping of str to matrix
        Of "users" and "items", where ``state`` has networks for them.
    max_norm : float
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
    return Tables(
        state.tables.device, state.tables.n_dims, **(arrays | vectors), rowwise=state.tables.rowwise
    )


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
    known = np.flatnonzero(others_placed)
    to_known = sp.csr_array(links[rows][:, known])
    some = np.flatnonzero(np.diff(to_known.indptr))
    if some.size:
        vectors[rows[some]] = mean_vectors(others[known], sp.csr_array(to_known[some]), max_norm)
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
