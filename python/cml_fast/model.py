"""The trained model: user and item vectors, and what is near what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._compute.array_api import to_numpy
from ._compute.feature_network import PARAMETERS, FeatureNetwork, check_network, cold_start_vectors
from ._persistence.model_folder import Stored, read_model, write_model
from ._search.annoy import AnnoyItems
from ._search.exact import nearest, self_mask
from ._training.fold_in import fold_in
from ._validation.matrices import check_rows, check_vectors
from ._validation.scalars import check_hyperparameters, check_int, check_real
from .data._alignment import interaction_rows, item_interactions
from .data._ids import IdIndex
from .data.features import Features, check_features
from .data.interactions import Interactions
from .errors import ModelError


class Model:
    """Users and items as points of one Euclidean space; the nearest items are recommended.

    The artefact of Collaborative Metric Learning (Hsieh et al., WWW 2017). A model does not
    change: its arrays are copies, and read-only.

    Parameters
    ----------
    user_vectors : array_like, (n_users, r), float
    item_vectors : array_like, (n_items, r), float
        Kept as float32; finite, no component beyond 1e15.
    user_ids, item_ids : array_like, (n_users,) and (n_items,), int or str, optional
        The unique external id of each row; 0, 1, 2, ... by default.
    hyperparameters : dict, optional
        How the model was made: plain JSON values.
    networks : dict of str to FeatureNetwork, optional
        Of "users" and "items", where the model was trained with features of them: see
        `embed_users` and `embed_items`.

    Attributes
    ----------
    hyperparameters : dict
    version : str
        The version of this package that made the model.

    Raises
    ------
    TypeError, ValueError
        If vectors have the wrong shape or type or are not finite, ids are not unique, or
        hyperparameters are no JSON values.

    Notes
    -----
    Users and items are given, and returned, by row number, as in the package ``implicit``.
    `user_rows` and `item_rows` translate external ids to row numbers, indexing `user_ids` and
    `item_ids` with row numbers translates back (mind the -1 of rows that are too short).
    """

    def __init__(
        self,
        user_vectors: npt.ArrayLike,
        item_vectors: npt.ArrayLike,
        *,
        user_ids: npt.ArrayLike | None = None,
        item_ids: npt.ArrayLike | None = None,
        hyperparameters: dict[str, Any] | None = None,
        networks: Mapping[str, FeatureNetwork] | None = None,
    ) -> None:
        # Imported here so that the package may set its version before or after this module.
        from . import __version__

        self._user_vectors = check_vectors("user_vectors", user_vectors)
        self._item_vectors = check_vectors("item_vectors", item_vectors)
        if self._user_vectors.shape[1] != self._item_vectors.shape[1]:
            raise ValueError(
                "user_vectors and item_vectors must have the same number of columns, got "
                f"{self._user_vectors.shape[1]} and {self._item_vectors.shape[1]}"
            )
        self._users = IdIndex("user", user_ids, len(self._user_vectors))
        self._items = IdIndex("item", item_ids, len(self._item_vectors))
        self.hyperparameters = check_hyperparameters(hyperparameters)
        self._networks = {}
        for side, network in (networks or {}).items():
            arrays = {name: to_numpy(network.parameters[name]) for name in PARAMETERS}
            check_network(arrays, self._item_vectors.shape[1])
            self._networks[side] = FeatureNetwork.from_arrays(arrays)
        self.version = __version__
        self._index: AnnoyItems | None = None

    def __repr__(self) -> str:
        n_users, r = self._user_vectors.shape
        return f"Model(n_users={n_users}, n_items={len(self._item_vectors)}, r={r})"

    @property
    def user_vectors(self) -> np.ndarray:
        """The users' points: (n_users, r), float32, C-contiguous, read-only."""
        return self._user_vectors

    @property
    def item_vectors(self) -> np.ndarray:
        """The items' points: (n_items, r), float32, C-contiguous, read-only."""
        return self._item_vectors

    @property
    def user_ids(self) -> np.ndarray:
        """The external id of each user: (n_users,), int64 or str, read-only."""
        return self._users.array

    @property
    def item_ids(self) -> np.ndarray:
        """The external id of each item: (n_items,), int64 or str, read-only."""
        return self._items.array

    def user_rows(self, ids: npt.ArrayLike) -> Any:
        """Return the row numbers (int64) of external user ids, a scalar for a scalar.

        Raises
        ------
        TypeError, ValueError
            If the ids are of another type than the model's, or one is unknown.
        """
        return self._users.rows(ids)

    def item_rows(self, ids: npt.ArrayLike) -> Any:
        """Return the row numbers (int64) of external item ids; see `user_rows`."""
        return self._items.rows(ids)

    def recommend(
        self,
        users: npt.ArrayLike,
        n: int = 10,
        exclude: sp.sparray | sp.spmatrix | Interactions | None = None,
        *,
        approximate: bool = False,
        search_k: int = -1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recommend the ``n`` items nearest to each user.

        Parameters
        ----------
        users : int or array_like of int, (m,)
            Row numbers.
        n : int
            How many items each; at least 1.
        exclude : scipy.sparse matrix or array, (n_users, n_items), or Interactions, optional
            Items not to recommend to a user: the non-zero entries of the user's row, usually
            those of training.
        approximate : bool
            Search the index made by `build_index` instead of all items.
        search_k : int
            How many nodes of the index to look at: more is more exact and slower. -1 stands for
            ``n_trees`` times the number of items fetched (n and the user's excluded ones), which
            always finds n; with less, rows may come out shorter.

        Returns
        -------
        ids : numpy.ndarray, (m, n), int64
            Row numbers of the items, nearest first, equal distances by row number; -1 where
            there are fewer than n items. A scalar user gives shape (n,).
        distances : numpy.ndarray, (m, n), float32
            Euclidean distances (not squared); +inf where ``ids`` is -1.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range, or there is no index for approximate search.
        DataError
            If ``exclude`` is not of the model's shape, or has other ids than the model.

        Notes
        -----
        Exact search takes time proportional to m x n_items x r, all cores, and at most 64 MiB
        for distances at a time (or 4 bytes per item, if that is more). It gives the same answer
        on every machine.
        """
        rows = check_rows("users", users, len(self._user_vectors))
        if exclude is None or rows.size == 0:
            mask = sp.csr_array((len(rows), len(self._item_vectors)), dtype=np.float32)
        else:
            mask = interaction_rows("exclude", exclude, rows, self.user_ids, self.item_ids)
        queries = self._user_vectors[rows]
        return self._search(users, queries, n, mask, approximate, search_k)

    def recommend_from_vectors(
        self,
        vectors: npt.ArrayLike,
        n: int = 10,
        exclude: sp.sparray | sp.spmatrix | Interactions | None = None,
        *,
        approximate: bool = False,
        search_k: int = -1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recommend the ``n`` items nearest to each of some points, such as `fold_in_users`
        gives.

        Other parameters, results and errors are those of `recommend`.

        Parameters
        ----------
        vectors : array_like, (m, r) or (r,), float
        exclude : scipy.sparse matrix or array, (m, n_items), or Interactions, optional
            Items not to recommend: the non-zero entries of the same row. The users of
            Interactions may be any; item ids must be the model's, in any order.
        """
        given = np.asarray(vectors)
        points = check_vectors("vectors", given[None] if given.ndim == 1 else given)
        n_items, r = self._item_vectors.shape
        if points.shape[1] != r:
            raise ValueError(f"vectors must have {r} columns, got {points.shape[1]}")
        if exclude is None:
            mask = sp.csr_array((len(points), n_items), dtype=np.float32)
        else:
            mask = item_interactions("exclude", exclude, self._items, len(points))
        # The first column has the shape of what was asked for: a scalar for a single point.
        return self._search(given[..., 0], points, n, mask, approximate, search_k)

    def fold_in_users(
        self,
        interactions: sp.sparray | sp.spmatrix | Interactions,
        *,
        n_epochs: int = 50,
        n_negatives: int | None = None,
        margin: float | None = None,
        learning_rate: float | None = None,
        max_norm: float | None = None,
        random_state: Any = 0,
        n_threads: int | None = None,
    ) -> np.ndarray:
        """Place users whom training had not, from what they liked.

        Each begins at the mean of the liked items and is then trained as in `Trainer`, while the
        items stay where they are. Where a user comes to lie depends on nobody else in
        ``interactions``, and is the same to the bit for any number of threads.

        Parameters
        ----------
        interactions : scipy.sparse matrix or array, (m, n_items), or Interactions
            The likes of each new user, one at least; values are weights, as in `Trainer.fit`.
            Item ids must be the model's, in any order.
        n_epochs : int
            Passes over the likes of a user.
        n_negatives, margin, learning_rate, max_norm : optional
            As for `Trainer`; by default those the model was made with, or else the defaults there.
        random_state : int, numpy Generator or RandomState, or None
            Seeds the order of the likes and the negatives.
        n_threads : int or None
            CPU threads; None takes all cores.

        Returns
        -------
        numpy.ndarray, (m, r), float32
            A vector for each row, for `recommend_from_vectors`.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range, or an item id is unknown.
        DataError
            If ``interactions`` has another shape, a row without likes, or values that are not
            finite and positive.
        TrainingDiverged
            If a value was not finite.

        Notes
        -----
        After 50 passes, recall@50 of new users was that of trained ones on ml-latest-small and on
        citeulike-t; a user took less than a millisecond. Each call copies the items' vectors, so
        many users are better placed together.
        """
        # Imported here: it needs the trainer's defaults, and the trainer makes models.
        trained = self._n_trained()
        placed = fold_in(
            self._item_vectors[:, :trained],
            item_interactions("interactions", interactions, self._items),
            self.hyperparameters,
            {
                "n_negatives": n_negatives,
                "margin": margin,
                "learning_rate": learning_rate,
                "max_norm": max_norm,
            },
            n_epochs=n_epochs,
            random_state=random_state,
            n_threads=n_threads,
        )
        return np.pad(placed, [(0, 0), (0, self._item_vectors.shape[1] - trained)])

    def similar_items(
        self,
        items: npt.ArrayLike,
        n: int = 10,
        *,
        approximate: bool = False,
        search_k: int = -1,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``n`` items nearest to each item, the item itself left out.

        Parameters, results and errors are those of `recommend`, with row numbers of items.
        """
        rows = check_rows("items", items, len(self._item_vectors))
        mask = self_mask(rows, len(self._item_vectors))
        queries = self._item_vectors[rows]
        return self._search(items, queries, n, mask, approximate, search_k)

    def similar_users(self, users: npt.ArrayLike, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Find the ``n`` users nearest to each user, the user itself left out.

        Parameters, results and errors are those of `recommend`, with row numbers of users.
        """
        n = check_int("n", n, 1)
        rows = check_rows("users", users, len(self._user_vectors))
        mask = self_mask(rows, len(self._user_vectors))
        found = nearest(self._user_vectors[rows], self._user_vectors, n, mask)
        return _shaped_like(users, found)

    def embed_users(self, features: sp.sparray | sp.spmatrix | np.ndarray | Features) -> np.ndarray:
        """Place users that were not trained, by their features; see `embed_items`."""
        return self._embed("users", features)

    def embed_items(self, features: sp.sparray | sp.spmatrix | np.ndarray | Features) -> np.ndarray:
        """Place items that were not trained, by their features (Hsieh et al., section 3.3).

        Parameters
        ----------
        features : scipy.sparse matrix, dense array or Features, (m, n_features)
            With the columns that the model was trained with.

        Returns
        -------
        numpy.ndarray, (m, r), float32
            In the direction of f(x), with 0.85 of the median length of the model's items. f(x)
            itself is the shorter, the less the features say, and so the nearer to everybody.

        Raises
        ------
        ValueError
            If the model was not trained with features of items.
        TypeError, DataError
            If ``features`` has other columns, or values that are not finite.
        """
        return self._embed("items", features)

    def add_items(
        self,
        ids: npt.ArrayLike,
        features: sp.sparray | sp.spmatrix | np.ndarray | Features,
    ) -> Model:
        """Return a model that can recommend further items, placed by `embed_items`.

        Parameters
        ----------
        ids : array_like, (m,)
            Their external ids: new ones, of the type of `item_ids`.
        features : as for `embed_items`, (m, n_features)

        Returns
        -------
        Model
            Its last m rows of items are the new ones. It has no index: build it anew.

        Raises
        ------
        TypeError, ValueError, DataError
            If an id is not new or of another type, or as for `embed_items`.
        """
        new = np.atleast_1d(np.asarray(ids))
        vectors = self.embed_items(features)
        if new.shape != (len(vectors),):
            raise ValueError(f"ids must be one for each row of features, got {new.shape}")
        model = Model(
            self._user_vectors,
            np.concatenate([self._item_vectors, vectors]),
            user_ids=self.user_ids,
            item_ids=[*self.item_ids.tolist(), *new.tolist()],
            hyperparameters=self.hyperparameters,
            networks=self._networks,
        )
        model.version = self.version
        return model

    def with_popularity_bias(
        self, interactions: sp.sparray | sp.spmatrix | Interactions, weight: float = 0.02
    ) -> Model:
        """Return a model in which items are the nearer to all users, the more likes they have.

        Items rise above the space of the users, in a coordinate of their own, by

            h_k^2 = weight log((n_max + 1) / (n_k + 1)),

        n_k being an item's likes and n_max the most that one has. So all distances from users grow
        to sqrt(d_ik^2 + h_k^2), and the softmax over items, exp(-d_ik^2 / temperature), gets the
        factor (n_k + 1)^(weight / temperature) (cf. Menon et al., "Long-tail learning via logit
        adjustment", ICLR 2021). It remains one Euclidean space, which any index serves.

        Parameters
        ----------
        interactions : scipy.sparse matrix or array, (n_users, n_items), or Interactions
            The likes, usually those of training; their weights do not matter.
        weight : float
            In units of squared distance, above 0. The benchmarks gain 1 to 2% of NDCG@20 by 0.02,
            see docs/losses.md; choose it on validation data.

        Returns
        -------
        Model
            With r + 1 dimensions; the last one of users is 0. It has no index: build it anew.

        Raises
        ------
        TypeError, ValueError, DataError
            If an argument is out of range, or the model has been treated so before, or was trained
            with features, which know nothing of likes.
        """
        weight = check_real("weight", weight, 0, strict=True)
        if self._n_trained() < self._item_vectors.shape[1]:
            raise ValueError("the model favours popular items already; begin with the trained one")
        if self._networks:
            raise ValueError("a model that was trained with features places items by these alone")
        space = (np.arange(len(self._user_vectors)), self.user_ids, self.item_ids)
        likes = interaction_rows("interactions", interactions, *space)
        counts = np.bincount(likes.indices, minlength=len(self._item_vectors))
        heights = np.sqrt(weight * np.log((counts.max() + 1) / (counts + 1)))
        model = Model(
            np.pad(self._user_vectors, [(0, 0), (0, 1)]),
            np.column_stack([self._item_vectors, heights]),
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            hyperparameters={
                **self.hyperparameters,
                "n_dims": self._item_vectors.shape[1],
                "popularity_weight": weight,
            },
        )
        model.version = self.version
        return model

    def _n_trained(self) -> int:
        """Dimensions that training gave; `with_popularity_bias` adds one."""
        n_dims: int = self._item_vectors.shape[1]
        return n_dims - 1 if "popularity_weight" in self.hyperparameters else n_dims

    def _embed(self, side: str, features: Any) -> np.ndarray:
        name = f"{side[:-1]}_features"
        network = self._networks.get(side)
        if network is None:
            raise ValueError(
                f"the model was not trained with features of {side}: fit(..., {name}=...)"
            )
        n_rows = getattr(getattr(features, "matrix", features), "shape", (0,))[0]
        learned = self._user_vectors if side == "users" else self._item_vectors
        return cold_start_vectors(network, check_features(name, features, n_rows, None), learned)

    def build_index(self, kind: str = "annoy", *, n_trees: int = 50, seed: int = 0) -> None:
        """Build an index of the items for approximate search; it is saved with the model.

        Parameters
        ----------
        kind : str
            "annoy" is the only one (https://github.com/spotify/annoy).
        n_trees : int
            More trees make the search more exact, and the index larger and slower to build.
        seed : int
            In [0, 2^31); the same vectors and seed give the same index.

        Raises
        ------
        ImportError
            If annoy is not installed.
        """
        if kind != "annoy":
            raise ValueError(f"kind must be 'annoy', got {kind!r}")
        n_trees = check_int("n_trees", n_trees, 1, 2**31 - 1)
        seed = check_int("seed", seed, 0, 2**31 - 1)
        self._index = AnnoyItems.build(self._item_vectors, n_trees, seed)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the model, and its index if there is one, into a folder.

        The folder holds safetensors, JSON and the index, no pickle. Saving replaces a model that
        is already there in one step: whenever the process is killed, or the disk is full, the
        old or the new model is there, complete.

        Raises
        ------
        FileExistsError
            If ``folder`` is a file, or neither empty nor a model.
        ModelError
            If the model there is damaged or of a newer format.
        OSError
            If writing fails.
        """
        stored = Stored(
            {"users": self._user_vectors, "items": self._item_vectors},
            {"users": self.user_ids.tolist(), "items": self.item_ids.tolist()},
            self._networks,
            self.version,
            check_hyperparameters(self.hyperparameters),
            self._index,
        )
        write_model(Path(folder), stored)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Model:
        """Load a saved model; everything in it is verified.

        Without the package annoy a saved index is left out, with a warning; saving the loaded
        model to the same folder would remove it there.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ModelError
            If it is not a model, of a newer format, incomplete or damaged; the message names the
            file.
        """
        stored = read_model(Path(folder))
        try:
            model = cls(
                stored.vectors["users"],
                stored.vectors["items"],
                user_ids=stored.ids["users"],
                item_ids=stored.ids["items"],
                hyperparameters=stored.hyperparameters,
                networks=stored.networks,
            )
        except (TypeError, ValueError) as error:
            files = ", ".join(map(str, stored.files))
            raise ModelError(f"{files} do not make a valid model: {error}") from error
        model.version, model._index = stored.version, stored.index
        return model

    def _search(
        self,
        asked: npt.ArrayLike,
        queries: np.ndarray,
        n: int,
        mask: sp.csr_array,
        approximate: bool,
        search_k: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the items nearest to ``queries``, shaped for the scalar or array ``asked``."""
        n = check_int("n", n, 1)
        if search_k != -1:
            search_k = check_int("search_k", search_k, 1, 2**31 - 1)
        if not approximate:
            if search_k != -1:
                raise ValueError(f"search_k={search_k} needs approximate=True")
            return _shaped_like(asked, nearest(queries, self._item_vectors, n, mask))
        if self._index is None:
            raise ValueError("approximate=True needs an index: call model.build_index() first")
        return _shaped_like(asked, self._index.nearest(queries, n, mask, search_k))


def _shaped_like(
    asked: npt.ArrayLike, found: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return one row for a scalar that was asked for."""
    return (found[0][0], found[1][0]) if np.ndim(asked) == 0 else found
