"""Training the feature networks between launches: network and vectors are pulled together."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.array_api import namespace_of
from .._compute.counter_rng import FEATURES, distinct_rows, random_words
from .._compute.feature_network import FeatureNetwork, cold_start_vectors, into_ball
from .._compute.settings import Settings
from .._compute.tables import Tables
from .likes import Likes, item_counts

ENTITIES = ("users", "items")


def on_device(features: sp.csr_array | np.ndarray, device: str) -> Any:
    """Copy features to the memory of a device."""
    if device == "cpu":
        return features
    import cupy
    import cupyx.scipy.sparse

    if sp.issparse(features):
        return cupyx.scipy.sparse.csr_matrix(sp.csr_matrix(features))
    return cupy.asarray(features)


def has_features(features: sp.csr_array | np.ndarray) -> np.ndarray:
    """Which objects have any, bool (n,)."""
    if isinstance(features, np.ndarray):
        return np.asarray(features.any(axis=1))
    return np.asarray(np.diff(features.indptr) > 0)


def used_columns(features: Any) -> tuple[np.ndarray, Any]:
    """The columns (c,) of sparse features that any object has, ascending, and the features (n, c)
    in them."""
    columns, places = np.unique(features.indices, return_inverse=True)
    shape = (features.shape[0], len(columns))
    return columns, sp.csr_array((features.data, places, features.indptr), shape=shape)


def has_likes(likes: Likes, entity: str) -> np.ndarray:
    """Which users, or items, have any, bool (n,)."""
    if entity == "users":
        return np.asarray(np.diff(likes.indptr) > 0)
    return np.asarray(item_counts(likes) > 0)


def place_cold_start(
    vectors: np.ndarray,
    network: FeatureNetwork,
    features: sp.csr_array | np.ndarray,
    liked: np.ndarray,
) -> None:
    """Replace the vectors of objects that have features but no likes by their cold-start vectors.

    As negatives they were only ever pushed away, so their trained vectors (n, r) say nothing about
    who would like them. Changes ``vectors`` in place.
    """
    rows = np.flatnonzero(has_features(features) & ~liked)
    if rows.size:
        vectors[rows] = cold_start_vectors(network.on(np), features[rows], vectors[liked])


class FeatureStep:
    """A step along L_f of some users, or some items, and of their network (section 3.3).

    Objects without features are left out. So are those without likes: they are only ever drawn as
    negatives and pushed away, and the network would learn that nobody likes their features.
    """

    SAMPLED = 1024  # objects; one that is drawn twice counters once

    def __init__(
        self,
        entity: str,
        network: FeatureNetwork,
        features: sp.csr_array | np.ndarray,
        liked: np.ndarray,
        tables: Tables,
        job: Any,
        settings: Settings,
    ) -> None:
        self.interval = settings.feature_interval
        self._entity, self._number = entity, ENTITIES.index(entity)
        self._network = network
        self._tables, self._job, self._settings = tables, job, settings
        # The rows of the objects that take part, and their features.
        self._rows = np.flatnonzero(has_features(features) & liked)
        self._features = on_device(features[self._rows], tables.device)
        # Steps on dense features, and on those on a GPU, take all columns. Their numbers are copied
        # to the GPU once: there may be a hundred thousand.
        self._all_columns = None
        if not isinstance(self._features, sp.csr_array):
            xp = namespace_of(tables.arrays[entity])
            self._all_columns = xp.asarray(np.arange(features.shape[1]))

    def step(self, epoch: int, number: int) -> bool:
        settings, table = self._settings, self._tables.arrays[self._entity]
        if (epoch, number) == (settings.feature_warm_up, 0) and epoch > 0:
            self._restart_from_features()
        xp = namespace_of(table)
        of_all = 2 * ((epoch << 32) + number) + self._number
        words = random_words(settings.seed, FEATURES, (of_all, 0), self.SAMPLED)
        chosen = distinct_rows(words, len(self._rows))
        rows = xp.asarray(self._rows[chosen])
        columns, features = self._all_columns, self._features[xp.asarray(chosen)]
        if columns is None:
            columns, features = used_columns(features)
        groups = xp.asarray(self._network.kept_groups(settings.seed, of_all))
        part = self._network.part(columns, groups)
        loss, gradients, vector_gradients = part.loss_and_gradients(
            features,
            table[rows, : self._tables.n_dims],
            self._network.shape[1] / part.shape[1],
        )
        if not xp.isfinite(loss):
            return False
        part.step(gradients, settings.feature_learning_rate)
        self._network.take_back(part, columns, groups)
        vector_gradients *= settings.feature_weight
        padded = self._tables.padded(vector_gradients)
        return self._job.step(self._entity, rows, padded) is None

    def _restart_from_features(self) -> None:
        """Restart the vectors from where the network places them, accumulators at zero."""
        tables = self._tables
        placed = into_ball(self._network.embed(self._features), self._settings.max_norm)
        rows = namespace_of(placed).asarray(self._rows)
        tables.arrays[self._entity][rows, : tables.n_dims] = placed
        tables.arrays[f"{self._entity[:-1]}_accumulators"][rows] = 0
