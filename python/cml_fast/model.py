"""The trained model: vectors of users and items, and searches for the nearest of them."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from . import _core
from ._compute.array_api import to_numpy
from ._compute.devices import choose_device
from ._compute.feature_network import PARAMETERS, FeatureNetwork, check_network, cold_start_vectors
from ._compute.tables import Tables
from ._persistence.folder import read_settled
from ._persistence.model_folder import StoredModel, read_index, read_model, write_model
from ._persistence.packed_index import PackedIndex, pack_index, unpack_index
from ._persistence.parts import Parts
from ._search import bulk, explaining
from ._search.choice import choose_index
from ._search.exact import nearest, self_mask, squared_lengths
from ._search.filtered import Nearest, popular, search
from ._search.filters import Asked, Filters, excluded_pairs, named_rows, results
from ._search.index import ItemIndex, search_index
from ._search.on_device import nearest_on_cuda
from ._threads import blas_threads, thread_count
from ._training.fold_in import fold_in, item_tables
from ._validation.matrices import check_counts, check_flags, check_vectors
from ._validation.scalars import (
    check_bool,
    check_choice,
    check_history,
    check_hyperparameters,
    check_int,
    check_real,
)
from .data._alignment import interaction_rows, item_interactions
from .data._ids import IdIndex, id_array
from .data.features import Features, check_features
from .data.interactions import Interactions
from .errors import DataError, ModelError
from .metrics import popularity_bias
from .metrics.expected_likes import expected_likes
from .metrics.registry import METRICS_OF_HITS

Exclude: TypeAlias = sp.sparray | sp.spmatrix | Interactions
# What `Model.recommend` does for users without likes in training.
COLD_USERS = ("popular", "error", "vector")
# Of `Model.with_popularity_bias`, where it is not calibrated and there is nothing to choose it by.
POPULARITY_WEIGHT = 0.02
# A message names at most this many of them.
NAMED = 5


class Model:
    """Users and items as points of one Euclidean space; the nearest items are recommended.

    The result of Collaborative Metric Learning (Hsieh et al., WWW 2017). A model is immutable: it
    copies what it is made of, its arrays are read-only, also after copying and pickling, and
    methods that change something return a new model.

    Parameters
    ----------
    user_vectors : array_like, (n_users, r), float
    item_vectors : array_like, (n_items, r), float
        Kept as float32. All values must be finite and within 1e15.
    user_ids, item_ids : array_like, (n_users,) and (n_items,), int or str, optional
        The unique external id of each row; 0, 1, 2, ... by default.
    hyperparameters : dict, optional
        How the model was made, as plain JSON values.
    networks : dict of str to FeatureNetwork, optional
        The feature networks of "users" and "items", if the model was trained with features: see
        `embed_users` and `embed_items`.
    user_counts, item_counts : array_like, (n_users,) and (n_items,), int, optional
        How many likes each user and each item has in training; both or none. `recommend` knows by
        them for which users the model has learned nothing, and what is popular.
    placed_users : array_like, (n_users,), bool, optional
        Users whose features placed them although they have no likes; none by default.
    history : list of dict, optional
        How training went, see the attribute of that name.

    Raises
    ------
    TypeError, ValueError
        If vectors have the wrong shape or type or are not finite, ids are not unique,
        hyperparameters or history are not JSON values, or counts are not one for each row or
        negative.

    Notes
    -----
    Methods take and return row numbers, as in the package ``implicit``. Those that search take and
    return external ids with ``ids=True``. `user_rows` and `item_rows` translate external ids to row
    numbers.

    Models can be pickled, also by joblib and cloudpickle; an index goes along as the bytes of its
    file. To keep a model, use `save`: its folder is verified when it is read, and unlike a pickle
    it cannot execute code.

    Examples
    --------
    >>> from cml_fast import Model
    >>> model = Model([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]], item_ids=["far", "near"])
    >>> model
    Model(n_users=1, n_items=2, r=2)
    >>> ids, distances = model.recommend(0, n=2, ids=True)
    >>> ids.tolist(), distances.tolist()
    (['near', 'far'], [1.0, 5.0])
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
        user_counts: npt.ArrayLike | None = None,
        item_counts: npt.ArrayLike | None = None,
        placed_users: npt.ArrayLike | None = None,
        history: list[dict[str, Any]] | None = None,
    ) -> None:
        self._user_vectors = check_vectors("user_vectors", user_vectors)
        self._item_vectors = check_vectors("item_vectors", item_vectors)
        if self._user_vectors.shape[1] != self._item_vectors.shape[1]:
            raise ValueError(
                "user_vectors and item_vectors must have the same number of columns, got "
                f"{self._user_vectors.shape[1]} and {self._item_vectors.shape[1]}"
            )
        self._users = IdIndex("user", user_ids, len(self._user_vectors))
        self._items = IdIndex("item", item_ids, len(self._item_vectors))
        self._hyperparameters = check_hyperparameters(hyperparameters)
        self._history = check_history(history)
        self._networks = {}
        for entity, network in (networks or {}).items():
            arrays = {name: to_numpy(network.parameters[name]) for name in PARAMETERS}
            check_network(arrays, self._item_vectors.shape[1])
            self._networks[entity] = FeatureNetwork.from_arrays(arrays)
        if (user_counts is None) != (item_counts is None):
            missing = "user_counts" if user_counts is None else "item_counts"
            raise ValueError(f"{missing} is missing: give user_counts and item_counts, or neither")
        self._user_counts = self._item_counts = None
        if user_counts is not None:
            self._user_counts = check_counts("user_counts", user_counts, len(self._user_vectors))
            self._item_counts = check_counts("item_counts", item_counts, len(self._item_vectors))
        if placed_users is None:
            placed_users = np.zeros(len(self._user_vectors), dtype=bool)
        self._placed_users = check_flags("placed_users", placed_users, len(self._user_vectors))
        self._version: str = _core.build_info()["version"]
        self._index: ItemIndex | None = None
        self._tables: Tables | None = None  # see `_ready_to_fold_in`

    def _with(self, **attributes: Any) -> Model:
        """Return a model that shares all attributes with this one but those given."""
        model = object.__new__(type(self))
        model.__dict__.update(self.__dict__, **attributes)
        return model

    def __repr__(self) -> str:
        (n_users, r), trained = self._user_vectors.shape, self._n_trained()
        dims = f"{r}" if trained == r else f"{trained}+1"
        return f"Model(n_users={n_users}, n_items={len(self._item_vectors)}, r={dims})"

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self  # as tuples of immutable objects do

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, because unpickled arrays are writable.
        packed = self._index and pack_index(self._index, self._item_vectors)
        return _unpickled, (type(self), self._arguments(), self._version, packed)

    def _arguments(self) -> dict[str, Any]:
        """Return constructor arguments that make this model again, but for version and index."""
        return {
            "user_vectors": self._user_vectors,
            "item_vectors": self._item_vectors,
            "user_ids": self.user_ids,
            "item_ids": self.item_ids,
            "hyperparameters": self._hyperparameters,
            "networks": self._networks,
            "user_counts": self._user_counts,
            "item_counts": self._item_counts,
            "placed_users": self._placed_users,
            "history": self._history,
        }

    @property
    def user_vectors(self) -> np.ndarray:
        """The points of the users: (n_users, r), float32, C-contiguous, read-only.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0, 0.0]], [[3.0, 4.0]]).user_vectors.tolist()
        [[0.0, 0.0]]
        """
        return self._user_vectors

    @property
    def item_vectors(self) -> np.ndarray:
        """The points of the items: (n_items, r), float32, C-contiguous, read-only.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0, 0.0]], [[3.0, 4.0]]).item_vectors.tolist()
        [[3.0, 4.0]]
        """
        return self._item_vectors

    @property
    def user_ids(self) -> np.ndarray:
        """The external id of each user: (n_users,), int64 or str, read-only.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0], [1.0]], [[3.0]], user_ids=["ann", "bob"]).user_ids.tolist()
        ['ann', 'bob']
        """
        return self._users.array

    @property
    def item_ids(self) -> np.ndarray:
        """The external id of each item: (n_items,), int64 or str, read-only.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0], [4.0]], item_ids=[101, 205]).item_ids.tolist()
        [101, 205]
        """
        return self._items.array

    @property
    def user_counts(self) -> np.ndarray | None:
        """How many likes each user has in training: (n_users,), int64, read-only.

        None if the model was made without these numbers.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0]], user_counts=[1], item_counts=[1]).user_counts.tolist()
        [1]
        """
        return self._user_counts

    @property
    def item_counts(self) -> np.ndarray | None:
        """How many likes each item has in training: (n_items,), int64, read-only.

        None if the model was made without these numbers.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0]], user_counts=[1], item_counts=[1]).item_counts.tolist()
        [1]
        """
        return self._item_counts

    @property
    def placed_users(self) -> np.ndarray:
        """Which users were placed by features, without likes: (n_users,), bool, read-only.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0]]).placed_users.tolist()
        [False]
        """
        return self._placed_users

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """How the model was made: a dict of plain JSON values, a new copy at each access.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0]], hyperparameters={"n_dims": 1}).hyperparameters
        {'n_dims': 1}
        """
        return copy.deepcopy(self._hyperparameters)

    @property
    def history(self) -> list[dict[str, Any]]:
        """How training went: a dict of plain JSON values for each epoch, a new copy at each access.

        The keys are those of `EpochReport` but the times. It is empty if the model was not made
        by a trainer, or by a release that did not keep it.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(synthetic(50, 30, 300).interactions).model_
        >>> [epoch["epoch"] for epoch in model.history]
        [0, 1]
        """
        return copy.deepcopy(self._history)

    @property
    def version(self) -> str:
        """The version of this package that made the model, a str.

        Examples
        --------
        >>> import cml_fast
        >>> cml_fast.Model([[0.0]], [[3.0]]).version == cml_fast.__version__
        True
        """
        return self._version

    def user_rows(self, ids: npt.ArrayLike) -> Any:
        """Translate external ids of users to row numbers.

        Parameters
        ----------
        ids : int or str, or array_like of these, (m,)

        Returns
        -------
        numpy.ndarray, (m,), int64
            Row numbers. A scalar id gives a scalar.

        Raises
        ------
        TypeError, ValueError
            If the ids are of another type than the model's, or an id is unknown.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0], [1.0]], [[3.0]], user_ids=["ann", "bob"])
        >>> model.user_rows(["bob", "ann"]).tolist()
        [1, 0]
        """
        return self._users.rows(ids)

    def item_rows(self, ids: npt.ArrayLike) -> Any:
        """Translate external ids of items to row numbers.

        Parameters, result and errors are those of `user_rows`.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0]], [[3.0], [4.0]], item_ids=[101, 205])
        >>> int(model.item_rows(205))
        1
        """
        return self._items.rows(ids)

    def recommend(
        self,
        users: npt.ArrayLike,
        n: int | None = None,
        exclude: Exclude | Sequence[Exclude] | None = None,
        *,
        items: Any = None,
        filter_items: Any = None,
        groups: npt.ArrayLike | None = None,
        max_per_group: int | None = None,
        ids: bool = False,
        cold_users: str = "popular",
        approximate: bool = False,
        n_threads: int | None = None,
        **search_options: Any,
    ) -> tuple[Any, Any]:
        """Recommend the ``n`` items nearest to each user.

        Parameters
        ----------
        users : int or array_like of int, (m,)
            Row numbers, or external ids if ``ids`` is True.
        n : int, optional
            Items for each user, at least 1; by default 10, or all candidates if ``items`` is given.
        exclude : matrix or list of matrices, optional
            The non-zero entries of a user's row are items not to recommend, usually those of
            training. A matrix is a scipy.sparse matrix or array, (n_users, n_items), or
            Interactions. A sparse matrix may also be (m, n_items), with a row for each of
            ``users``, in their order: a matrix of n_users rows is always taken by row number.
        items : array_like of int, (k,) or (n_items,) bool, or one for each user, optional
            The candidates: nothing else is recommended. Either for all users, as row numbers (ids
            if ``ids`` is True) or as one bool for each item; or for each user, as a list of m
            arrays, an array (m, k), or a scipy.sparse matrix (m, n_items) whose non-zero entries
            are the candidates.
        filter_items : array_like of int, (k,) or (n_items,) bool, optional
            Items to recommend to nobody, given as ``items`` for all users.
        groups : array_like of int or str, (n_items,), optional
            The group of each item, such as its author or brand. None or NaN stand for no group.
        max_per_group : int, optional
            Recommend at most so many items of a group; needs ``groups``.
        ids : bool
            Whether users and items are named by external ids, here and in the result.
        cold_users : str
            What to do for users without any like in training, whose vectors say nothing: "popular"
            recommends them the items with the most likes, with a warning that counts these users;
            "error" raises an error that names them; "vector" recommends what is near to the vector
            all the same. It has no effect if `user_counts` is None, and none on `placed_users`,
            whose features say where they are (see `embed_users`).
        approximate : bool
            Search the index that `build_index` made instead of all items. Users for whom it finds
            fewer than n items are searched exactly.
        n_threads : int or None
            CPU threads, those of BLAS included; None uses all cores that this process may use, or
            one for one user with an index. An "annoy" index is always searched in one thread.
        **search_options
            Options of the index, only with ``approximate=True``, instead of those that
            `build_index` found: ``ef_search`` (hnswlib, usearch, and graphs of faiss), an int, the
            items that a search keeps; ``nprobe`` (inverted files of faiss), an int, the lists to
            look at; ``k_factor`` (faiss with refinement), a number, the compressed vectors for
            each item to find; ``search_k`` (annoy), an int, the nodes to look at. The larger, the
            more exact and the slower.

        Returns
        -------
        rows : numpy.ndarray, (m, n), int64
            Row numbers of the items, nearest first, equal distances by row number; -1 where
            there are fewer than n items that the filters allow. A scalar user gives shape (n,).
            With ``ids=True`` a list of m arrays of external ids, which are shorter where there are
            fewer items; one array for a scalar user.
        distances : numpy.ndarray, (m, n), float32
            Euclidean distances (not squared); +inf where ``rows`` is -1, NaN for popular items of
            users without likes. With ``ids=True`` a list of arrays, as the ids.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range, an id is unknown, ``items`` or ``filter_items`` leave
            nothing to recommend, there is no index for approximate search, the index has no such
            option, or users have no likes in training and ``cold_users="error"``.
        DataError
            If ``exclude`` is not of the model's shape, or has other ids than the model.

        Notes
        -----
        Exact search takes time proportional to m x n_items x r. It holds at most 64 MiB of
        distances at a time (or 4 bytes per item, if that is more); for many users it copies the
        item vectors once. Its result is the same on every machine, with any number of threads.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0], [3.0, 3.0]], [[0.0, 1.0], [3.0, 4.0], [6.0, 8.0]])
        >>> rows, distances = model.recommend(0, n=2)
        >>> rows.tolist(), distances.tolist()
        ([0, 1], [1.0, 5.0])

        Several users, without the items that they know already:

        >>> train = sp.csr_array([[1, 0, 0], [0, 1, 1]])
        >>> rows, distances = model.recommend([0, 1], n=2, exclude=train)
        >>> rows.tolist()
        [[1, 2], [0, -1]]

        Two candidates, ranked:

        >>> model.recommend(0, items=[2, 1])[0].tolist()
        [1, 2]
        """
        check_choice("cold_users", cold_users, COLD_USERS)
        rows = named_rows("users", self._users, users, check_bool("ids", ids))
        mask = excluded_pairs(exclude, rows, self._users, self._items, stacklevel=3)
        asked = Asked(self._items, len(rows), ids)
        filters = asked.filters(
            mask, ("items", items), ("filter_items", filter_items), groups, max_per_group
        )
        n = asked.n(n, filters, items)
        self._check_cold(rows, cold_users)
        queries = self._user_vectors[rows]
        found = self._search(queries, n, filters, approximate, n_threads, search_options)
        if cold_users == "popular":
            self._give_popular(rows, found, filters)
        return results(found, np.ndim(users) == 0, self._items, ids)

    def _check_cold(self, rows: np.ndarray, cold_users: str) -> None:
        """Refuse users whom training has not placed, or warn the caller of the caller of them."""
        cold = rows[self._is_cold(rows)]
        if cold.size and cold_users == "error":
            named = ", ".join(map(repr, self.user_ids[cold[:NAMED]].tolist()))
            raise ValueError(
                f"{cold.size} users have no likes in training: {named}"
                f"{', ...' if cold.size > NAMED else ''}; leave them out, place them with "
                "fold_in_users, or set cold_users='popular'"
            )
        if cold.size and cold_users == "popular":
            warnings.warn(
                f"{cold.size} of {rows.size} users have no likes in training and get the most "
                "popular items",
                stacklevel=3,
            )

    def _ranked(
        self, rows: np.ndarray, n: int, mask: sp.csr_array, n_threads: int | None
    ) -> np.ndarray:
        """Return the items that `recommend` gives by default, without checks and warnings."""
        filters = Filters(mask)
        exact = self._exact(n_threads)
        found = search(self._user_vectors[rows], self._item_vectors, n, filters, exact=exact)
        self._give_popular(rows, found, filters)
        return found[0]

    def _is_cold(self, rows: np.ndarray) -> np.ndarray:
        """Return which of these users training has not placed, bool (m,)."""
        if self._user_counts is None:
            return np.zeros(len(rows), dtype=bool)
        return np.asarray((self._user_counts[rows] == 0) & ~self._placed_users[rows])

    def _give_popular(
        self, rows: np.ndarray, found: tuple[np.ndarray, np.ndarray], filters: Filters
    ) -> None:
        """Replace what was found for users whom training has not placed by popular items."""
        cold = np.flatnonzero(self._is_cold(rows))
        if cold.size and self._item_counts is not None:
            items = popular(self._item_counts, found[0].shape[1], filters.of(cold))
            found[0][cold] = items
            found[1][cold] = np.where(items < 0, np.inf, np.nan)

    def recommend_all(
        self,
        out: str | os.PathLike[str],
        n: int = 10,
        exclude: Exclude | Sequence[Exclude] | None = None,
        *,
        items: Any = None,
        filter_items: Any = None,
        groups: npt.ArrayLike | None = None,
        max_per_group: int | None = None,
        ids: bool = False,
        cold_users: str = "popular",
        approximate: bool = False,
        device: str = "auto",
        overwrite: bool = False,
        progress: bool = False,
        n_threads: int | None = None,
        **search_options: Any,
    ) -> Path:
        """Write recommendations for all users to a file.

        Other parameters and errors are those of `recommend`.

        Parameters
        ----------
        out : path
            The file; it ends in ``.parquet``, ``.csv`` or ``.jsonl``. It has a row (a line) for
            each recommendation, with the columns ``user`` and ``item``, the external ids, ``rank``,
            from 1, and ``distance``, which is missing (null) for popular items of users without
            likes. A user for whom nothing is left has no row.
        items : array_like of int, (k,) or (n_items,) bool, optional
            The candidates of all users.
        ids : bool
            Whether ``items`` and ``filter_items`` are external ids.
        device : str
            Where exact search runs: "auto", "cpu" or "cuda". The result is the same.
        overwrite : bool
            Whether a file that is there already is replaced; else it is an error.
        progress : bool
            Show a bar on stderr.
        n_threads : int or None
            CPU threads, as for `recommend`.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        FileExistsError
            If the file is there, the folder of its parts has those of other recommendations, or
            another process writes the file.
        OSError
            If writing fails, for instance for lack of space. ``out`` is as it was before.
        DeviceUnavailable
            If ``device="cuda"`` cannot be used.

        Notes
        -----
        Users are worked through in parts of at most 16,384, so that the memory that is needed does
        not grow with their number. Each part is written to the folder ``OUT.parts`` when it is
        complete. If the call is interrupted or the disk is full, the same call goes on after the
        last complete part; with other vectors or arguments it is refused. At the end the parts
        become the file in one step, which needs space for both.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast import Model
        >>> model = Model([[0.0], [5.0]], [[1.0], [4.5]], user_ids=["ann", "bob"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(model.recommend_all(Path(folder, "recs.csv"), n=1).read_text())
        "user","rank","item","distance"
        "ann",1,0,1
        "bob",1,1,0.5
        <BLANKLINE>
        """
        check_choice("cold_users", cold_users, COLD_USERS)
        rows = np.arange(len(self._user_vectors))
        mask = excluded_pairs(exclude, rows, self._users, self._items, stacklevel=3)
        asked = Asked(self._items, 1, check_bool("ids", ids))
        if items is not None and asked.is_for_each(items):
            raise ValueError("items must be the candidates of all users, got some for each user")
        filters = asked.filters(
            mask, ("items", items), ("filter_items", filter_items), groups, max_per_group
        )
        n = check_int("n", n, 1)
        chosen, _ = choose_device(device)
        self._check_search(approximate, search_options)
        for name, names in (("user_ids", self.user_ids), ("item_ids", self.item_ids)):
            bulk.check_text(name, names)
        size = bulk.part_size(n)
        settings = {
            "model": bulk.fingerprint(
                *(self._user_vectors, self._item_vectors, self.user_ids, self.item_ids),
                *(self._user_counts, self._item_counts, self._placed_users),
            ),
            **bulk.settings(filters),
            "cold_users": cold_users,
            "approximate": approximate,
            "search options": repr(search_options),
            "n": n,
            "size of parts": size,
        }
        n_parts = -(-len(rows) // size)
        parts = Parts(Path(out), settings, n_parts, overwrite=check_bool("overwrite", overwrite))
        self._check_cold(rows, cold_users)
        with parts.writing():
            for at in parts.in_turn(len(rows), size, check_bool("progress", progress)):
                own = rows[at * size : (at + 1) * size]
                some = replace(filters, exclude=mask[at * size : (at + 1) * size])
                queries = self._user_vectors[own]
                found = self._search(
                    queries, n, some, approximate, n_threads, search_options, device=chosen
                )
                if cold_users == "popular":
                    self._give_popular(own, found, some)
                parts.write(at, bulk.table(self.user_ids[own], self.item_ids, found))
            parts.join()
        return Path(out)

    def recommend_from_vectors(
        self,
        vectors: npt.ArrayLike,
        n: int | None = None,
        exclude: Exclude | None = None,
        *,
        items: Any = None,
        filter_items: Any = None,
        groups: npt.ArrayLike | None = None,
        max_per_group: int | None = None,
        ids: bool = False,
        approximate: bool = False,
        n_threads: int | None = None,
        **search_options: Any,
    ) -> tuple[Any, Any]:
        """Recommend the ``n`` items nearest to each of some points, such as those of
        `fold_in_users`.

        Other parameters, results and errors are those of `recommend`.

        Parameters
        ----------
        vectors : array_like, (m, r) or (r,), float
        exclude : scipy.sparse matrix or array, (m, n_items), or Interactions, optional
            The non-zero entries of a row are items not to recommend for the same row of
            ``vectors``. Interactions may be of any users. Their items must be the model's, in any
            order.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0]], [[0.0, 1.0], [3.0, 4.0], [6.0, 8.0]])
        >>> rows, distances = model.recommend_from_vectors([6.0, 8.0], n=2)
        >>> rows.tolist(), distances.tolist()
        ([2, 1], [0.0, 5.0])
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
        asked = Asked(self._items, len(points), check_bool("ids", ids))
        filters = asked.filters(
            mask, ("items", items), ("filter_items", filter_items), groups, max_per_group
        )
        n = asked.n(n, filters, items)
        found = self._search(points, n, filters, approximate, n_threads, search_options)
        return results(found, given.ndim == 1, self._items, ids)

    def distances(
        self, users: npt.ArrayLike, items: npt.ArrayLike, *, ids: bool = False
    ) -> np.ndarray:
        """Compute the distances of pairs of a user and an item: the score of each pair.

        Parameters
        ----------
        users, items : int or array_like of int, (m,)
            Row numbers, or external ids if ``ids`` is True. A single user or item is paired with
            each of the others.
        ids : bool
            Whether users and items are named by external ids.

        Returns
        -------
        numpy.ndarray, (m,), float32
            Euclidean distances; less is better. A single pair gives a scalar.

        Raises
        ------
        TypeError, ValueError
            If there are not as many items as users, or one is unknown.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0], [3.0, 3.0]], [[0.0, 1.0], [3.0, 4.0]])
        >>> model.distances([0, 1], [1, 1]).tolist()
        [5.0, 1.0]
        >>> model.distances(0, [0, 1]).tolist()
        [1.0, 5.0]
        """
        rows = named_rows("users", self._users, users, check_bool("ids", ids))
        columns = named_rows("items", self._items, items, ids)
        if np.ndim(users) != 0 and np.ndim(items) != 0 and len(rows) != len(columns):
            raise ValueError(
                f"users and items must be pairs, got {len(rows)} users and {len(columns)} items"
            )
        found = explaining.distances(self._user_vectors, self._item_vectors, rows, columns)
        return found[0] if np.ndim(users) == np.ndim(items) == 0 else found

    def explain(
        self,
        user: Any,
        item: Any,
        likes: Exclude,
        n: int | None = None,
        *,
        ids: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find which of a user's likes are nearest to an item: why it may be recommended.

        Parameters
        ----------
        user, item : int
            Row numbers, or external ids if ``ids`` is True.
        likes : scipy.sparse matrix or array, (n_users, n_items), or Interactions
            The non-zero entries of the user's row are the likes, usually those of training. A
            sparse matrix may also have this row only, (1, n_items).
        n : int, optional
            How many; by default all.
        ids : bool
            Whether user and items are named by external ids, here and in the result.

        Returns
        -------
        rows : numpy.ndarray, (n,), int64
            Row numbers (or ids) of the likes, nearest to the item first, without the item itself.
            There are fewer if the user has fewer likes.
        distances : numpy.ndarray, (n,), float32
            Their Euclidean distances to the item.

        Raises
        ------
        TypeError, ValueError, DataError
            If the user or item is unknown, the user has no other likes, or ``likes`` has another
            shape or other ids.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast import Model
        >>> model = Model([[0.0]], [[1.0], [5.0], [2.0]])
        >>> rows, distances = model.explain(0, 2, sp.csr_array([[1, 1, 0]]))
        >>> rows.tolist(), distances.tolist()
        ([0, 1], [1.0, 3.0])
        """
        for name, one in (("user", user), ("item", item)):
            if np.ndim(one) != 0:
                raise TypeError(f"{name} must be a single {name}, got {one!r}")
        row = named_rows("user", self._users, user, check_bool("ids", ids))
        column = named_rows("item", self._items, item, ids)
        own = excluded_pairs(likes, row, self._users, self._items, argument="likes", stacklevel=3)
        liked = own.indices[own.indices != column[0]].astype(np.int64)
        if not liked.size:
            raise ValueError(
                f"user {user!r} has no likes besides item {item!r} that could explain it"
            )
        found = explaining.nearest_of(self._item_vectors, column, liked, n)
        return (self.item_ids[found[0]], found[1]) if ids else found

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
        """Compute vectors of users that training did not have, from their likes.

        Each user starts at the mean of the liked items and is then trained as in `Trainer`, while
        the items stay fixed. The vector of a user does not depend on the other users in
        ``interactions``, and is the same to the bit for any number of threads.

        Parameters
        ----------
        interactions : scipy.sparse matrix or array, (m, n_items), or Interactions
            The likes of each new user, at least one; values are weights, as in `Trainer.fit`, and
            are treated by the ``weighting`` that the model was trained with. Only how they differ
            within a user matters. Item ids must be the model's, in any order.
        n_epochs : int
            Passes over the likes of a user.
        n_negatives, margin, learning_rate, max_norm : optional
            As for `Trainer`. By default the values that the model was trained with (the learning
            rate of epoch 10), or the defaults of `Trainer` if the model has no such value.
        random_state : int, numpy Generator or RandomState, or None
            Seed of the order of the likes and of the negatives.
        n_threads : int or None
            CPU threads; None uses all cores that this process may use.

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
        citeulike-t; a user took less than a millisecond. Each call copies the vectors of all
        items, so one call for many users is faster than many calls.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> train = synthetic(50, 30, 300).interactions
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(train).model_
        >>> likes = sp.csr_array(([1.0, 1.0], ([0, 0], [3, 17])), shape=(1, 30))
        >>> vectors = model.fold_in_users(likes)
        >>> vectors.shape
        (1, 9)
        >>> rows, distances = model.recommend_from_vectors(vectors, n=5, exclude=likes)
        >>> rows.shape
        (1, 5)
        """
        trained = self._n_trained()
        placed = fold_in(
            self._item_vectors[:, :trained],
            # Compiled code reads it, so it is our own.
            item_interactions("interactions", interactions, self._items, own=True),
            self._hyperparameters,
            {
                "n_negatives": n_negatives,
                "margin": margin,
                "learning_rate": learning_rate,
                "max_norm": max_norm,
            },
            n_epochs=n_epochs,
            random_state=random_state,
            n_threads=n_threads,
            tables=self._tables,
        )
        return np.pad(placed, [(0, 0), (0, self._item_vectors.shape[1] - trained)])

    def update_users(
        self,
        likes: sp.sparray | sp.spmatrix | Interactions,
        users: npt.ArrayLike | None = None,
        *,
        ids: bool = False,
        n_epochs: int = 20,
        random_state: Any = 0,
        n_threads: int | None = None,
    ) -> Model:
        """Return a model in which some users are placed anew, by the likes they have now.

        Their vectors are those of `fold_in_users`: they depend on these likes and the items alone,
        not on where the users were before. So give all likes of a user that are to count, old and
        new together, or the latest hundred. All else is shared with this model, which does not
        change: a server replaces the one by the other in one assignment, while requests go on.

        Parameters
        ----------
        likes : Interactions, or scipy.sparse matrix or array, (m, n_items) or (n_users, n_items)
            Interactions name the users, who must be the model's, and the items by their ids. A
            matrix has a row for each of ``users``, or without these for each user of the model.
            Where users are not named one by one, those without likes stay as they are.
        users : array_like of int or str, (m,), optional
            Whom the rows of a matrix belong to: row numbers, or external ids if ``ids`` is True.
        ids : bool
            Whether ``users`` are external ids.
        n_epochs, random_state, n_threads
            As for `fold_in_users`.

        Returns
        -------
        Model
            With the new vectors and `user_counts`. An index stays, as it holds the items.

        Raises
        ------
        TypeError, ValueError, DataError, TrainingDiverged
            As for `fold_in_users`; if a user is unknown or named twice. `Trainer.partial_fit` is
            for new users.

        Notes
        -----
        After 20 passes, recall@50 was that of the trained vectors on ml-latest-small and on
        citeulike-t, and a user of 46 likes took 0.9 ms of one core, one of 11 likes 0.4 ms. Each
        call copies the vectors of all users (40 ms for a million), so one call for many users is
        faster than many calls. The first call copies those of the items, too; the models that
        follow share them.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import Interactions, synthetic
        >>> train = synthetic(50, 30, 300).interactions
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(train).model_
        >>> likes = Interactions.from_arrays(["user-00007"] * 2, ["blues-0000", "blues-0001"])
        >>> updated = model.update_users(likes)
        >>> (updated.user_vectors != model.user_vectors).any(axis=1).nonzero()[0].tolist()
        [7]
        """
        matrix = item_interactions("likes", likes, self._items, own=True)
        rows = self._rows_of(likes, matrix.shape[0], users, ids)
        if users is None:
            some = np.flatnonzero(np.diff(matrix.indptr))
            rows, matrix = rows[some], sp.csr_array(matrix[some])
        if not rows.size:
            raise DataError("likes has no interactions, so there is nobody to place")
        trained = self._n_trained()
        items = self._item_vectors[:, :trained]
        tables = self._tables or item_tables(items, self._hyperparameters)
        placed = fold_in(
            items,
            matrix,
            self._hyperparameters,
            {},
            n_epochs=n_epochs,
            random_state=random_state,
            n_threads=n_threads,
            tables=tables,
        )
        new = {
            "_user_vectors": self._user_vectors.copy(),
            "_placed_users": self._placed_users.copy(),
        }
        new["_user_vectors"][rows, :trained] = placed
        new["_placed_users"][rows] = False
        if self._user_counts is not None:
            new["_user_counts"] = self._user_counts.copy()
            new["_user_counts"][rows] = np.diff(matrix.indptr)
        for array in new.values():
            array.flags.writeable = False
        return self._with(**new, _tables=tables)

    def _rows_of(self, likes: Any, n_rows: int, users: Any, ids: bool) -> np.ndarray:
        """Return the row numbers of the users whom the rows of likes belong to: (n_rows,)."""
        if isinstance(likes, Interactions):
            if users is not None:
                raise TypeError("likes are Interactions, which name their users; leave out users")
            found: np.ndarray = self._users.rows(likes.user_ids)
            return found
        n_users = len(self._user_vectors)
        rows = np.arange(n_users) if users is None else named_rows("users", self._users, users, ids)
        if len(rows) != n_rows:
            whose = (
                f"each of the {n_users} users" if users is None else f"each of users, {len(rows)}"
            )
            raise DataError(
                f"likes must have a row for {whose}, got {n_rows}; users= says whose the rows are"
            )
        if len(np.unique(rows)) < len(rows):
            raise ValueError("users must be different, got one of them twice; add up their likes")
        return rows

    def _ready_to_fold_in(self) -> Model:
        """Return this model with a copy of the item vectors, which `fold_in_users` else makes."""
        items = self._item_vectors[:, : self._n_trained()]
        return self._with(_tables=item_tables(items, self._hyperparameters))

    def similar_items(
        self,
        items: npt.ArrayLike,
        n: int | None = None,
        *,
        among: Any = None,
        filter_items: Any = None,
        groups: npt.ArrayLike | None = None,
        max_per_group: int | None = None,
        include_self: bool = False,
        ids: bool = False,
        approximate: bool = False,
        n_threads: int | None = None,
        **search_options: Any,
    ) -> tuple[Any, Any]:
        """Find the ``n`` items nearest to each item.

        Other parameters, results and errors are those of `recommend`, with items in place of users.

        Parameters
        ----------
        items : int or array_like of int, (m,)
            The items whose neighbours are wanted.
        among : array_like of int, (k,) or (n_items,) bool, or one for each item, optional
            The candidates, given as ``items`` of `recommend`.
        include_self : bool
            Whether an item is the first of its own neighbours, at distance 0, whatever the filters
            leave out. By default it is left out.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0]], [[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]])
        >>> rows, distances = model.similar_items([0, 2], n=1)
        >>> rows.tolist(), distances.tolist()
        ([[1], [1]], [[5.0], [5.0]])
        >>> model.similar_items(2, n=2, include_self=True)[0].tolist()
        [2, 1]
        """
        rows = named_rows("items", self._items, items, check_bool("ids", ids))
        asked = Asked(self._items, len(rows), ids)
        filters = asked.filters(
            self_mask(rows, len(self._item_vectors)),
            ("among", among),
            ("filter_items", filter_items),
            groups,
            max_per_group,
        )
        n = asked.n(n, filters, among)

        def find(k: int) -> tuple[np.ndarray, np.ndarray]:
            queries = self._item_vectors[rows]
            return self._search(queries, k, filters, approximate, n_threads, search_options)

        found = explaining.with_self(find, rows, n, check_bool("include_self", include_self))
        return results(found, np.ndim(items) == 0, self._items, ids)

    def similar_users(
        self,
        users: npt.ArrayLike,
        n: int | None = None,
        *,
        among: Any = None,
        filter_users: Any = None,
        include_self: bool = False,
        ids: bool = False,
        n_threads: int | None = None,
    ) -> tuple[Any, Any]:
        """Find the ``n`` users nearest to each user.

        Parameters, results and errors are those of `similar_items`; the search is always exact, and
        the results are users. ``filter_users`` are users who are not found.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0], [1.0], [3.0]], [[0.0]])
        >>> rows, distances = model.similar_users(0, n=2)
        >>> rows.tolist(), distances.tolist()
        ([1, 2], [1.0, 3.0])
        """
        rows = named_rows("users", self._users, users, check_bool("ids", ids))
        asked = Asked(self._users, len(rows), ids, "user")
        mask = self_mask(rows, len(self._user_vectors))
        filters = asked.filters(mask, ("among", among), ("filter_users", filter_users))
        n = asked.n(n, filters, among)

        exact = partial(nearest, n_threads=n_threads)

        def find(k: int) -> tuple[np.ndarray, np.ndarray]:
            return search(self._user_vectors[rows], self._user_vectors, k, filters, exact=exact)

        found = explaining.with_self(find, rows, n, check_bool("include_self", include_self))
        return results(found, np.ndim(users) == 0, self._users, ids)

    def embed_users(
        self,
        features: sp.sparray | sp.spmatrix | np.ndarray | Features,
        *,
        n_threads: int | None = None,
    ) -> np.ndarray:
        """Compute vectors of users that training did not have, from their features.

        Parameters, result and errors are those of `embed_items`, with features of users.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> train = synthetic(50, 30, 300).interactions
        >>> features = np.eye(50, 4, dtype=np.float32)
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(train, user_features=features).model_
        >>> model.embed_users(features[:3]).shape
        (3, 8)
        """
        return self._embed("users", features, n_threads)

    def embed_items(
        self,
        features: sp.sparray | sp.spmatrix | np.ndarray | Features,
        *,
        n_threads: int | None = None,
    ) -> np.ndarray:
        """Compute vectors of items that training did not have, from their features.

        A network f learns during training where features place an item (Hsieh et al., WWW 2017,
        section 3.3).

        Parameters
        ----------
        features : scipy.sparse matrix, dense array or Features, (m, n_features)
            With the columns that the model was trained with.
        n_threads : int or None
            CPU threads of BLAS; None uses all cores that this process may use.

        Returns
        -------
        numpy.ndarray, (m, r), float32
            The direction is that of f(x), the length is 0.85 of the median length of the model's
            item vectors. f(x) itself gets shorter the less the features say of an item, and such
            items would be near to all users.

        Raises
        ------
        ValueError
            If the model was not trained with features of items.
        TypeError, DataError
            If ``features`` has other columns, or values that are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> train = synthetic(50, 30, 300).interactions
        >>> features = np.eye(30, 4, dtype=np.float32)
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(train, item_features=features).model_
        >>> model.embed_items(features[:3]).shape
        (3, 8)
        """
        return self._embed("items", features, n_threads)

    def add_items(
        self,
        ids: npt.ArrayLike,
        features: sp.sparray | sp.spmatrix | np.ndarray | Features,
        *,
        n_threads: int | None = None,
    ) -> Model:
        """Return a model that has further items, with the vectors of `embed_items`.

        Parameters
        ----------
        ids : array_like, (m,), int or str
            External ids of the new items, of the type of `item_ids`.
        features, n_threads
            As for `embed_items`: (m, n_features), and the number of threads.

        Returns
        -------
        Model
            Its last m rows of items are the new ones, also in its index, if this model has one.
            An index of Annoy cannot grow and is left out, with a warning: build it again.

        Raises
        ------
        TypeError, ValueError, DataError
            If an id is not new or of another type, or as for `embed_items`.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> train = synthetic(50, 30, 300).interactions
        >>> features = np.eye(30, 4, dtype=np.float32)
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, verbose=False)
        >>> model = trainer.fit(train, item_features=features).model_
        >>> model.add_items(["new-1", "new-2"], features[:2])
        Model(n_users=50, n_items=32, r=8)
        """
        new = id_array("ids", ids)
        vectors = self.embed_items(features, n_threads=n_threads)
        if new.shape != (len(vectors),):
            raise ValueError(f"ids must be one for each row of features, got {new.shape}")
        changes = {
            "item_vectors": np.concatenate([self._item_vectors, vectors]),
            "item_ids": [*self.item_ids.tolist(), *new.tolist()],
        }
        if self._item_counts is not None:
            none = np.zeros(len(vectors), dtype=np.int64)
            changes["item_counts"] = np.concatenate([self._item_counts, none])
        model = Model(**{**self._arguments(), **changes})
        index = None if self._index is None else self._index.add(model.item_vectors)
        if index is None and self._index is not None:
            warnings.warn(
                f"an index of kind {self._index.kind!r} cannot take further items and was left "
                "out: call build_index again",
                stacklevel=2,
            )
        return model._with(_version=self._version, _index=index)

    def with_popularity_bias(
        self,
        interactions: sp.sparray | sp.spmatrix | Interactions | None = None,
        weight: float | None = None,
        *,
        calibrated: bool | None = None,
        validation: sp.sparray | sp.spmatrix | Interactions | None = None,
        metric: str = "ndcg",
        k: int = 20,
        n_threads: int | None = None,
    ) -> Model:
        """Return a model in which items are nearer to all users the more likes they have.

        A calibrated bias compares these likes with those that the model expects. `Trainer` gives
        it to models that it trains with the softmax (``popularity_weight``); a bias that this model
        has is replaced.

        Each item k gets one more coordinate h_k, in which all users are at 0:

            h_k^2 = weight (max_j L_j - L_k),  L_k = log((n_k + 1) / (e_k + 1)),

        where n_k is the number of likes of the item, and e_k the number that the model expects, or
        0 if the bias is not calibrated. All distances from users grow to
        sqrt(d_ik^2 + h_k^2), and the softmax over items, exp(-d_ik^2 / temperature), is multiplied
        by a factor proportional to ((n_k + 1) / (e_k + 1))^(weight / temperature) (cf. Menon et
        al., "Long-tail learning via logit adjustment", ICLR 2021). The space is still Euclidean, so
        that any index can search it.

        The softmax expects e_k = sum_i n_i exp(-d_ik^2 / temperature) / sum_j exp(-d_ij^2 /
        temperature) likes, where n_i is the number of likes of user i. That is too many of items
        with few likes, because in a ball they cannot be far from everybody. The sum is over all
        users with likes or, where these are many, over a sample of 256 to 1024 of them: it is the
        same sample every time, and the result has the same bits on every machine.

        Parameters
        ----------
        interactions : scipy.sparse matrix or array, (n_users, n_items), or Interactions, optional
            The likes; their weights do not matter. None: those of training, which the model has
            counted (`user_counts`, `item_counts`).
        weight : float or None
            In units of squared distance. 0: a model without a bias. None: the one that suits
            ``validation`` or, without them, a quarter of the temperature if the bias is calibrated,
            else 0.02. With the whole temperature the softmax would expect about as many likes as
            there are; a quarter is better on likes that were held out.
        calibrated : bool or None
            Whether to compare the likes with those that the model expects. None: where it has a
            temperature, because it was trained with the softmax.
        validation : scipy.sparse matrix or array, (n_users, n_items), or Interactions, optional
            Likes that were held out of the training, to choose the weight. It needs
            ``interactions``, which are left out of the rankings. Tried are 0 and, from 1/256 of the
            largest squared length of an item on, weights each twice the one before, as long as that
            improves the metric. Of those that are within a standard error of the best one, the
            smallest is taken, so noise brings no popular items forward.
        metric : str
            What the weight is to improve, if it is chosen: "ndcg", "recall" or another metric that
            needs nothing but the hits.
        k : int
            Length of the rankings of this metric.
        n_threads : int or None
            CPU threads; None uses all cores that this process may use.

        Returns
        -------
        Model
            With r + 1 dimensions, or r if the weight is 0, and the weight as
            ``hyperparameters["popularity_weight"]``. It has no index: build one.

        Raises
        ------
        TypeError, ValueError, DataError
            If an argument is out of range, a weight and ``validation`` are both given,
            ``validation`` has no likes or some of ``interactions``, ``interactions`` are missing
            and needed, the model has no temperature to calibrate the bias by, or it was trained
            with features, from which likes of new items are not known.

        Examples
        --------
        Two items are equally far from the user, and the second one has more likes:

        >>> import scipy.sparse as sp
        >>> from cml_fast import Model
        >>> model = Model([[0.0], [9.0]], [[1.0], [-1.0]])
        >>> model.recommend(0, n=2)[0].tolist()
        [0, 1]
        >>> biased = model.with_popularity_bias(sp.csr_array([[1, 1], [0, 1]]), weight=0.1)
        >>> biased.recommend(0, n=2)[0].tolist()
        [1, 0]

        The weight that suits other likes:

        >>> chosen = model.with_popularity_bias(
        ...     sp.csr_array([[0, 0], [0, 1]]), validation=sp.csr_array([[0, 1], [1, 0]]), k=1
        ... )
        >>> chosen.hyperparameters["popularity_weight"]
        0.0039

        At this temperature the model expects as many likes of the third item as of the others:

        >>> model = Model([[0.0]], [[1.0], [-1.0], [1.0]], hyperparameters={"temperature": 0.4})
        >>> biased = model.with_popularity_bias(sp.csr_array([[1, 1, 0]]))
        >>> biased.item_vectors[:, 1].tolist()
        [0.0, 0.0, 0.26...]
        """
        if weight is not None:
            weight = check_real("weight", weight, 0)
        check_choice("metric", metric, METRICS_OF_HITS)
        k = check_int("k", k, 1)
        if weight is not None and validation is not None:
            raise ValueError(
                f"weight={weight!r} leaves nothing to choose by validation; leave out either"
            )
        temperature = self._hyperparameters.get("temperature")
        if calibrated is None:
            calibrated = temperature is not None
        elif check_bool("calibrated", calibrated) and temperature is None:
            raise ValueError(
                "calibrated=True needs the temperature of the model, which has none: leave out "
                "calibrated, or train with loss='softmax'"
            )
        if self._networks and weight != 0:
            raise ValueError("a model that was trained with features cannot have a popularity bias")
        space = (np.arange(len(self._user_vectors)), self.user_ids, self.item_ids)
        likes = None
        if interactions is not None:
            likes = interaction_rows("interactions", interactions, *space)
        if weight == 0:  # no likes are needed
            return self._with_heights(None, weight)
        if likes is not None:
            user_counts = np.diff(likes.indptr)
            item_counts = np.bincount(likes.indices, minlength=len(self._item_vectors))
        elif validation is not None:
            raise ValueError(
                "validation needs interactions, the likes of training: they are left out of the "
                "rankings"
            )
        elif self._user_counts is None or self._item_counts is None:
            raise ValueError("the model has not counted likes of training; give interactions")
        else:
            user_counts, item_counts = self._user_counts, self._item_counts
        trained = self._n_trained()
        vectors = self._user_vectors[:, :trained], self._item_vectors[:, :trained]
        expected: float | np.ndarray = 0.0
        default = POPULARITY_WEIGHT
        if calibrated:
            temperature = check_real("temperature", temperature, 0, strict=True)
            default = popularity_bias.CALIBRATED_SHARE * temperature
            expected = expected_likes(*vectors, user_counts, temperature)
        log_ratios = popularity_bias.log_ratios(item_counts, expected)
        if likes is not None and validation is not None:
            held_out = interaction_rows("validation", validation, *space)
            if held_out.nnz == 0:
                raise DataError("validation has no likes to choose a weight by; give some")
            if overlap := held_out.astype(bool).multiply(likes.astype(bool)).nnz:
                raise DataError(
                    f"validation has {overlap} likes of interactions; give likes that were held "
                    "out of the training"
                )
            weight = popularity_bias.choose_weight(
                *vectors, log_ratios, likes, held_out, metric, k, n_threads
            )
        weight = default if weight is None else weight
        heights = popularity_bias.heights(log_ratios, weight) if weight > 0 else None
        return self._with_heights(heights, weight)

    def _with_heights(self, heights: np.ndarray | None, weight: float) -> Model:
        """Return this model with the popularity bias of these items, or without one."""
        trained = self._n_trained()
        users, items = self._user_vectors[:, :trained], self._item_vectors[:, :trained]
        if heights is not None:
            users, items = popularity_bias.with_heights(users, items, heights)
        changes = {
            "user_vectors": users,
            "item_vectors": items,
            "hyperparameters": {**self._hyperparameters, "popularity_weight": weight},
        }
        return Model(**{**self._arguments(), **changes})._with(_version=self._version)

    def _n_trained(self) -> int:
        """Return the number of trained dimensions; a popularity bias adds one more."""
        n_dims: int = self._item_vectors.shape[1]
        return n_dims - 1 if self._hyperparameters.get("popularity_weight") else n_dims

    def _embed(self, entity: str, features: Any, n_threads: int | None) -> np.ndarray:
        name = f"{entity[:-1]}_features"
        network = self._networks.get(entity)
        if network is None:
            raise ValueError(
                f"the model was not trained with features of {entity}: fit(..., {name}=...)"
            )
        n_rows = getattr(getattr(features, "matrix", features), "shape", (0,))[0]
        learned = self._user_vectors if entity == "users" else self._item_vectors
        checked = check_features(name, features, n_rows, None)
        with blas_threads(thread_count(n_threads)):
            return cold_start_vectors(network, checked, learned)

    def build_index(
        self,
        kind: str = "auto",
        *,
        recall: float | None = 0.98,
        n: int = 10,
        **options: Any,
    ) -> Model:
        """Return this model with an index of the items for approximate search.

        How exact the search is follows from ``recall``: the effort of a search is raised, on a
        sample of the model's users, until its results have that share of those of exact search.
        `index_info` says what was reached. The new model shares the vectors with this one. `save`
        saves the index too.

        Parameters
        ----------
        kind : str
            "exact", all items; "faiss", "hnswlib", "usearch" or "annoy", which need the extra of
            that name, such as ``cml-fast[faiss]``; or "auto": "exact" for up to 1,000,000 numbers
            in `item_vectors`, else the first of "faiss", "hnswlib", "usearch" and "annoy" that is
            installed and reaches ``recall``, and "exact" if none does.
        recall : float or None
            The share of the ``n`` nearest items that a search is to find on average, in (0, 1].
            Each user's likes in training, as many as `user_counts` says, are left out before, and
            the nearest items stand for them. None: the search options of the library.
        n : int
            The length of the lists that ``recall`` is about, at least 1. Longer ones may miss more.
        **options
            How to build the index, not with "auto":

            - "faiss": ``factory``, a str of faiss's index factory, such as "Flat", "IVF256,Flat"
              or "HNSW32" (by default an inverted file of compressed vectors); ``n_threads``.
            - "hnswlib" and "usearch": ``m``, an int, the links of each item (16), and
              ``ef_construction``, an int, the candidates for them (200): with more, the search is
              more exact, and the index larger and slower to build; ``n_threads``; ``seed`` of
              hnswlib (0).
            - "annoy": ``n_trees``, an int (50), as ``m``; ``seed``, an int in [0, 2^31) (0).

            ``n_threads`` is all usable cores by default. With several threads, the graphs of
            hnswlib and usearch are not the same every time.

        Returns
        -------
        Model

        Raises
        ------
        TypeError, ValueError
            If the kind is unknown, has no such option, or an argument is out of range.
        ImportError
            If the package that this kind needs is not installed.

        Warns
        -----
        UserWarning
            If the index of a kind that was given does not reach ``recall``.

        Examples
        --------
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0]], [[0.0, 1.0], [3.0, 4.0], [6.0, 8.0]])
        >>> model = model.build_index()
        >>> rows, distances = model.recommend(0, n=2, approximate=True)
        >>> rows.tolist(), distances.tolist()
        ([0, 1], [1.0, 5.0])
        """
        vectors = self._item_vectors, self._user_vectors
        index = choose_index(kind, *vectors, self._user_counts, recall, n, options)
        return self._with(_index=index)

    @property
    def index_info(self) -> dict[str, Any] | None:
        """What the index is: a dict of plain JSON values, a new copy at each access.

        None if the model has no index. "kind" and the options that it was built with; "search",
        the search options that are used unless others are given; and "recall", the share of the
        "n" nearest items that they found for a sample of so many "users" when it was built.

        Examples
        --------
        >>> from cml_fast import Model
        >>> Model([[0.0]], [[3.0], [4.0]]).build_index("exact", n=1).index_info
        {'kind': 'exact', 'search': {}, 'recall': 1.0, 'n': 1, 'users': 1}
        """
        if self._index is None:
            return None
        return {"kind": self._index.kind, **copy.deepcopy(self._index.info)}

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Save the model, and its index if it has one, into a folder.

        The folder contains safetensors, JSON and the index, no pickle. A model that is already
        there is replaced in one step: if the process is killed or the disk is full, the folder
        has either the complete old or the complete new model. Processes that save to one folder do
        so one after the other, and others may load from it meanwhile.

        Parameters
        ----------
        folder : path
            Absent, empty, or the folder of a model.

        Raises
        ------
        FileExistsError
            If ``folder`` is a file, or neither empty nor a model.
        ModelError
            If the model there is damaged or of a newer format.
        OSError
            If writing fails.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Model([[0.0]], [[3.0], [4.0]]).save(folder)
        ...     Model.load(folder)
        Model(n_users=1, n_items=2, r=1)
        """
        stored = StoredModel(
            {"users": self._user_vectors, "items": self._item_vectors},
            {"users": self.user_ids.tolist(), "items": self.item_ids.tolist()},
            self._networks,
            {}
            if self._user_counts is None or self._item_counts is None
            else {
                "users": self._user_counts,
                "items": self._item_counts,
                "placed_users": self._placed_users,
            },
            self._version,
            self._hyperparameters,
            self._history,
        )
        write_model(Path(folder), stored, self._index)

    def export(
        self,
        destination: str | os.PathLike[str],
        what: str = "items",
        *,
        to: str | None = None,
        prefix: str = "cml_",
        item_metadata: Any = None,
        user_metadata: Any = None,
        id_column: str = "id",
        unknown: str = "error",
        if_exists: str = "error",
        **connection: Any,
    ) -> dict[str, int]:
        """Write the vectors, with ids and metadata, to a file or a database.

        A table has the columns ``id`` (int or str, as in the model), ``vector`` (r float32) and
        those of the metadata. The nearest items of a user are those with the smallest Euclidean
        (L2) distance from the user's vector. Nothing else is needed: no inner product, no cosine,
        no scaling.

        All tables of a call are written, or none: an error leaves what was there before.

        Parameters
        ----------
        destination : path or str
            A file (``items.parquet``, ``items.arrow``), a file or folder of a database
            (``shop.duckdb``, ``shop.lancedb``, ``shop.qdrant``), or the URL of a server
            (``postgresql://user@host/database``; ``http://host:6333`` for Qdrant).
        what : str
            "items", "users", or "both", which only databases can hold together.
        to : str, optional
            "parquet", "arrow", "duckdb", "lancedb", "qdrant" or "postgresql", where the
            destination does not show it by its extension or scheme.
        prefix : str
            Begins the names of the tables of a database: ``cml_items`` and ``cml_users``.
        item_metadata, user_metadata : data frame, dict of array_like, or path, optional
            Further columns: numbers, texts, true or false, dates, times, or lists of these. A
            frame is one of pyarrow, pandas, polars or another library that narwhals knows; a path
            is that of a file of Parquet, CSV or TSV. Rows are found by id and may be in any order;
            an id without a row has nulls there.
        id_column : str
            The column of the metadata that has the ids.
        unknown : str
            What to do with metadata of ids that the model does not have: "error", or "drop" with
            a warning.
        if_exists : str
            "error", or "replace": a table or file of that name is replaced as a whole, once the new
            one is complete.
        **connection
            Further arguments for the function of the client that connects, such as ``password``
            (``psycopg.connect``), ``api_key`` (``QdrantClient``) or ``config``
            (``duckdb.connect``).

        Returns
        -------
        dict of str to int
            The number of rows of each table that was written, by its name (of a file, its path).

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range.
        DataError
            If the metadata cannot be read, have ids that are unknown, missing or repeated, or a
            column of a type that cannot be exported.
        ExportError
            If the destination is away, full or refuses the user, or has such a table already.
        ImportError
            If the client is not installed: ``pip install cml-fast[duckdb]``, and so on.

        Notes
        -----
        Besides the vectors, which are not copied, an export holds the metadata and a few
        megabytes at a time.

        Examples
        --------
        >>> import tempfile
        >>> import pyarrow.parquet
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]], item_ids=["far", "near"])
        >>> tags = {"id": ["near", "far"], "tag": ["jazz", "soul"]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = model.export(f"{folder}/items.parquet", item_metadata=tags)
        ...     table = pyarrow.parquet.read_table(f"{folder}/items.parquet")
        >>> table.to_pylist()[0]
        {'id': 'far', 'vector': [3.0, 4.0], 'tag': 'soul'}
        """
        from ._export.rows import InMemory  # only now: pyarrow is slow to load
        from ._export.run import export

        return export(
            destination,
            {
                "items": InMemory(self._items, self._item_vectors),
                "users": InMemory(self._users, self._user_vectors),
            },
            {"items": item_metadata, "users": user_metadata},
            what=what,
            to=to,
            prefix=prefix,
            id_column=id_column,
            unknown=unknown,
            if_exists=if_exists,
            connection=connection,
        )

    def map(
        self,
        out: str | os.PathLike[str],
        *,
        item_metadata: Any = None,
        id_column: str = "id",
        unknown: str = "error",
        names: Any = None,
        tags: Any = None,
        tag_separator: str = "|",
        dates: Any = None,
        images: Any = None,
        likes: Exclude | None = None,
        features: Any = None,
        colour: str = "auto",
        title: str = "The learned space",
        n_users: int = 1000,
        method: str = "auto",
        random_state: int = 0,
        overwrite: bool = False,
        progress: bool = False,
        n_threads: int | None = None,
    ) -> dict[str, Any]:
        """Write a map of the learned space: one HTML file, to be opened in a browser.

        Items are points in the plane, near to each other where they are near in the learned space.
        In the browser they are searched and coloured; a click on one shows the items nearest to it
        and the users around it, with their distances in the learned space, found by exact search.
        The file needs no network and loads nothing.

        Parameters
        ----------
        out : path
            The file, such as ``map.html``.
        item_metadata : data frame, dict of array_like, or path, optional
            A table of what is known of the items, as for `export`.
        id_column, unknown : str
            As for `export`. ``unknown`` holds for the dicts below as well.
        names, tags, dates, images : str, dict or array_like of (n_items,), optional
            Names to show instead of ids; tags, each a list of str or a str of several; numbers,
            such as years, or dates; and pictures: paths of PNG, JPEG, GIF or WebP files, which
            become part of the page (256 KiB each and 32 MiB in all, at most), or URLs, which the
            page loads. Each is the name of a column of ``item_metadata``, a dict from ids to
            values, or one value for each item, in their order. ``tags`` may also be Features; by
            default they are the names of ``features``.
        tag_separator : str
            Between the tags of a str.
        likes : scipy.sparse matrix or array, (n_users, n_items), or Interactions, optional
            The likes of training: what the users who are shown like. By default nothing is known
            of that, and popularity is `item_counts`.
        features : Features, scipy.sparse matrix or array_like, (n_items, n_features), optional
            A second map, of these features alone, is then drawn beside that of the learned space.
        colour : str
            What colours the items at first: "tag", "cluster", "popularity", "date", or "auto",
            which is "tag" if there are tags and else "cluster". The page can change it.
        title : str
            The heading of the page.
        n_users : int
            How many users are shown, from 0 to 20,000, drawn from those with likes. The page has
            their ids.
        method : str
            "tsne", "umap", "pacmap", which need the packages openTSNE
            (``pip install cml-fast[map]``), umap-learn and pacmap; "pca", the plane of largest
            variance; or "auto": "tsne" if openTSNE is installed, else "pca" with a warning.
        random_state : int
            The seed, from 0 to 2^31 - 1. With the same packages it gives the same file.
        overwrite : bool
            Whether a file that is there already is replaced; else it is an error.
        progress : bool
            Say on stderr what is being done.
        n_threads : int or None
            CPU threads; all usable cores by default. The file does not depend on them.

        Returns
        -------
        dict
            "file", its path; its size in "bytes"; the "method" and its "settings"; how many
            "items" and "users" it shows.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range.
        DataError
            If what is given of the items cannot be read, has another length or ids that are
            unknown, or an image is no picture or too large.
        FileExistsError
            If the file is there already.
        OSError
            If writing fails, for instance for lack of space. ``out`` is as it was before.
        ImportError
            If the package of ``method`` is not installed.

        Warns
        -----
        UserWarning
            If ``method="auto"`` is not t-SNE; the warning and the page say why.

        Notes
        -----
        As figure 5 of Hsieh et al. (WWW 2017). A map in the plane keeps who is near to whom, not
        how far apart everything is: the distances to trust are those that the page writes. A user
        is drawn amid the items nearest to the user.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Model
        >>> model = Model([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]], item_ids=["far", "near"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = model.map(f"{folder}/map.html", tags=["soul", "jazz"], method="pca")
        >>> written["method"], written["items"], written["users"]
        ('pca', 2, 1)
        """
        from ._map.known import Given, Learned  # only now: what they need is slow to load
        from ._map.run import Drawing, write_map

        return write_map(
            out,
            Learned(
                self._items,
                self._users,
                self._item_vectors,
                self._user_vectors,
                self._item_counts,
                self._user_counts,
            ),
            Given(
                item_metadata=item_metadata,
                id_column=id_column,
                unknown=unknown,
                names=names,
                tags=tags,
                tag_separator=tag_separator,
                dates=dates,
                images=images,
                likes=likes,
                features=features,
                colour=colour,
            ),
            Drawing(
                title=title,
                n_users=n_users,
                method=method,
                random_state=random_state,
                overwrite=overwrite,
                progress=progress,
                n_threads=n_threads,
            ),
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Model:
        """Load a saved model and verify all of its files.

        A saved index that cannot be used, because the package for it is not installed or this
        release does not know its kind, is left out with a warning. Saving the loaded model to the
        same folder would then remove the index there.

        Parameters
        ----------
        folder : path
            The folder given to `save`.

        Returns
        -------
        Model

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ModelError
            If it is not a model, of a newer format, incomplete or damaged; the message names the
            file.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Model([[0.0]], [[3.0], [4.0]], item_ids=["a", "b"]).save(folder)
        ...     Model.load(folder).item_ids.tolist()
        ['a', 'b']
        """
        path = Path(folder)
        return read_settled(path, lambda: cls._read(path))

    @classmethod
    def _read(cls, folder: Path) -> Model:
        stored = read_model(folder)
        try:
            model = cls(
                stored.vectors["users"],
                stored.vectors["items"],
                user_ids=stored.ids["users"],
                item_ids=stored.ids["items"],
                hyperparameters=stored.hyperparameters,
                networks=stored.networks,
                user_counts=stored.counts.get("users"),
                item_counts=stored.counts.get("items"),
                placed_users=stored.counts.get("placed_users"),
                history=stored.history,
            )
        except (TypeError, ValueError) as error:
            files = ", ".join(map(str, stored.files.values()))
            raise ModelError(f"{files} do not make a valid model: {error}") from error
        index = read_index(stored, model.item_vectors)
        return model._with(_version=stored.version, _index=index)

    def _check_search(self, approximate: bool, options: dict[str, Any]) -> None:
        if not approximate:
            for name, value in options.items():
                raise ValueError(f"{name}={value!r} needs approximate=True")
        elif self._index is None:
            raise ValueError("approximate=True needs an index: model = model.build_index()")

    def _search(
        self,
        queries: np.ndarray,
        n: int,
        filters: Filters,
        approximate: bool,
        n_threads: int | None,
        options: dict[str, Any],
        *,
        device: str = "cpu",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the items nearest to ``queries``, exactly or with the index."""
        self._check_search(approximate, options)
        index = self._index if approximate else None
        exact = nearest_on_cuda if device == "cuda" else self._exact(n_threads)

        def ask(some: np.ndarray, k: int, mask: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
            assert index is not None
            return search_index(index, some, k, mask, {**options, "n_threads": n_threads})

        return search(queries, self._item_vectors, n, filters, ask if approximate else None, exact)

    def _exact(self, n_threads: int | None) -> Nearest:
        """Return `exact.nearest` with these threads, and with the squared lengths of the items."""

        def exact(
            queries: np.ndarray, points: np.ndarray, n: int, exclude: sp.csr_array
        ) -> tuple[np.ndarray, np.ndarray]:
            norms = self._item_norms if points is self._item_vectors else None
            return nearest(queries, points, n, exclude, n_threads, norms)

        return exact

    @cached_property
    def _item_norms(self) -> np.ndarray:
        return squared_lengths(self._item_vectors)


def _unpickled(
    cls: type[Model], arguments: dict[str, Any], version: str, packed: PackedIndex | None
) -> Model:
    model = cls(**arguments)._with(_version=version)
    return model if packed is None else model._with(_index=unpack_index(packed, model.item_vectors))
