"""A model whose users are in parts, of which one at a time is in memory."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from .._export.run import export
from .._persistence.parts import Parts
from .._search import bulk
from .._search.filters import Asked
from .._training.likes import MappedLikes, map_likes
from .._validation.scalars import check_choice, check_int
from ..data import Dataset, Interactions
from ..data._alignment import nothing_excluded
from ..data._ids import IdIndex, same_ids
from ..errors import DataError, ModelError
from ..model import COLD_USERS, Model
from ._exporting import RowsInFiles
from ._parts import (
    ITEMS,
    USERS,
    Entry,
    check_files,
    counts_in,
    ids_in,
    prepare,
    read_manifest,
    read_table,
    vectors_in,
    write_users,
    write_whole,
)


class PartitionedModel:
    """A trained model that is not in memory: all items in a file, and the users in parts.

    `fit` returns it with ``out=FOLDER``, and `open` reads such a folder. Only one part at a time is
    in memory, with at most 262,144 users. The parts are Parquet files with the columns ``id``,
    ``vector`` (a list of r float32) and ``likes`` (how many there were in training), which other
    tools can read as they are: ``FOLDER/users-*.parquet``.

    Attributes
    ----------
    folder : str
        A path or URI.
    n_users, n_items, n_parts : int
    hyperparameters : dict
        As of `Model`.
    history : list of dict
        As of `Model`.
    version : str
        Of the package that made it.

    Examples
    --------
    >>> import tempfile
    >>> from cml_fast import Model
    >>> from cml_fast.distributed import PartitionedModel
    >>> model = Model([[0.0], [5.0], [9.0]], [[1.0], [4.5]], user_ids=["ann", "bob", "eve"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     partitioned = PartitionedModel.of(model, folder, users_per_part=2)
    ...     print(partitioned)
    ...     [part.user_ids.tolist() for part in partitioned.parts()]
    PartitionedModel(n_users=3, n_items=2, r=1, n_parts=2)
    [['ann', 'bob'], ['eve']]
    """

    def __init__(self, folder: str, record: dict[str, Any]) -> None:
        self.folder = folder
        self._items, *self._users = (Entry(**entry) for entry in record["files"])
        self._checksum, self._n_dims = record["checksum"], record["n_dims"]
        self.hyperparameters = record["hyperparameters"]
        self.history, self.version = record["history"], record["version"]
        self.n_users = sum(entry.rows for entry in self._users)
        self.n_items, self.n_parts = self._items.rows, len(self._users)

    def __repr__(self) -> str:
        return (
            f"PartitionedModel(n_users={self.n_users}, n_items={self.n_items}, r={self._n_dims}, "
            f"n_parts={self.n_parts})"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of users and items."""
        return self.n_users, self.n_items

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> PartitionedModel:
        """Open a folder. Each file is verified when it is read.

        Parameters
        ----------
        folder : path or str
            A path, or a URI for `pyarrow.fs`.

        Returns
        -------
        PartitionedModel

        Raises
        ------
        ModelError
            If the folder is not complete, a file is missing or has another size, or the manifest is
            damaged; the message names the file.

        Examples
        --------
        >>> from cml_fast.distributed import PartitionedModel
        >>> PartitionedModel.open("gone")
        Traceback (most recent call last):
        ...
        cml_fast.errors.ModelError: gone has no partitioned.json: it is no such model, or incomplete
        """
        path = os.fspath(folder)
        model = cls(path, read_manifest(path))
        check_files(path, (model._items, *model._users))
        return model

    @classmethod
    def of(
        cls, model: Model, folder: str | os.PathLike[str], *, users_per_part: int = USERS
    ) -> PartitionedModel:
        """Write a model in parts. An index is left out.

        Parameters
        ----------
        model : Model
            Without features.
        folder : path or str
            A path, or a URI for `pyarrow.fs`: an empty folder, or one that is made.
        users_per_part : int
            At most; the last part has what is left.

        Returns
        -------
        PartitionedModel

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range, or the model was trained with features.
        FileExistsError
            If the folder has anything in it.
        OSError
            If writing fails.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Model
        >>> from cml_fast.distributed import PartitionedModel
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PartitionedModel.of(Model([[0.0], [5.0]], [[1.0]]), folder).shape
        (2, 1)
        """
        if not isinstance(model, Model):
            raise TypeError(f"model must be a Model, got {type(model).__name__}")
        users_per_part = check_int("users_per_part", users_per_part, 1)
        if model._networks or model.placed_users.any():
            raise ValueError(
                "model was trained with features, which a partitioned model does not keep: save it "
                "with model.save"
            )
        for name, ids in (("user_ids", model.user_ids), ("item_ids", model.item_ids)):
            bulk.check_text(name, ids)
        path = os.fspath(folder)
        prepare(path)
        users = model.user_vectors, model.user_ids, model.user_counts
        items = model.item_vectors, model.item_ids, model.item_counts
        about = {
            "hyperparameters": model.hyperparameters,
            "history": model.history,
            "version": model.version,
        }
        write_whole(path, write_users(path, 0, *users, users_per_part), *items, about)
        return cls.open(path)

    def parts(self) -> Iterator[Model]:
        """Yield a model of the users of each part and of all items, in the order of the users.

        Returns
        -------
        iterator of Model
            Row numbers are those within the part; ids and counts of likes are those of training.

        Raises
        ------
        ModelError
            If a file is missing, damaged or of another model; the message names it.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Model
        >>> from cml_fast.distributed import PartitionedModel
        >>> model = Model([[0.0], [5.0], [9.0]], [[1.0], [4.5]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     partitioned = PartitionedModel.of(model, folder, users_per_part=2)
        ...     [part.recommend(0, n=1)[0].tolist() for part in partitioned.parts()]
        [[0], [1]]
        """
        items = read_table(self.folder, self._items)
        for at in range(self.n_parts):
            yield self._part(at, items)

    def recommend_all(
        self,
        out: str | os.PathLike[str],
        n: int = 10,
        exclude: sp.sparray | sp.spmatrix | Interactions | Dataset | None = None,
        *,
        items: Any = None,
        filter_items: Any = None,
        groups: Any = None,
        max_per_group: int | None = None,
        ids: bool = False,
        cold_users: str = "popular",
        overwrite: bool = False,
        **options: Any,
    ) -> Path:
        """Write recommendations for all users to a file, one part of the users after the other.

        The rows are those of `Model.recommend_all`, as are the other parameters and errors.

        Parameters
        ----------
        out : path
            The file on this machine; it ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        n : int
            Items for each user.
        exclude : scipy.sparse matrix or array (n_users, n_items), Interactions or Dataset, optional
            Items not to recommend, usually the likes of training. A `data.Dataset` stays in its
            files. Users and items must be those of the model, in its order.
        **options
            ``device``, ``n_threads`` and ``progress``, which shows a bar for each part, as for
            `Model.recommend_all`. ``approximate`` needs an index, which the parts do not have.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ModelError
            If a file of the model is missing, damaged or of another model; the message names it.
        DataError
            If ``exclude`` has another shape or other ids.

        Notes
        -----
        Each part of the users is written to the folder ``OUT.parts`` when it is complete. If the
        call is interrupted, the same call goes on from there.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast import Model
        >>> from cml_fast.distributed import PartitionedModel
        >>> model = Model([[0.0], [5.0]], [[1.0], [4.5]], user_ids=["ann", "bob"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     partitioned = PartitionedModel.of(model, Path(folder, "model"), users_per_part=1)
        ...     print(partitioned.recommend_all(Path(folder, "recs.csv"), n=1).read_text())
        "user","rank","item","distance"
        "ann",1,0,1
        "bob",1,1,0.5
        <BLANKLINE>
        """
        n = check_int("n", n, 1)
        check_choice("cold_users", cold_users, COLD_USERS)
        if options.get("approximate"):
            raise ValueError(
                "approximate=True needs an index, which a partitioned model does not have: leave "
                "it out"
            )
        table = read_table(self.folder, self._items)
        index = IdIndex("item", ids_in(table), self.n_items)
        likes = self._excluded(exclude, index.array)
        asked = {
            "items": items,
            "filter_items": filter_items,
            "groups": groups,
            "max_per_group": max_per_group,
            "ids": ids,
            "cold_users": cold_users,
        }
        filters = Asked(index, 1, ids).filters(
            nothing_excluded((1, self.n_items)),
            ("items", items),
            ("filter_items", filter_items),
            groups,
            max_per_group,
        )
        settings = {
            "model": self._checksum,
            **bulk.settings(filters),
            "exclude": _fingerprint(exclude, likes),
            "cold_users": cold_users,
            "n": n,
        }
        parts = Parts(Path(out), settings, self.n_parts, overwrite=overwrite)
        self._check_cold(cold_users)
        starts = [0, *itertools.accumulate(entry.rows for entry in self._users)]
        with parts.writing(), warnings.catch_warnings():
            # The users of all parts have been warned of.
            warnings.filterwarnings("ignore", ".* users have no likes in training", UserWarning)
            for at in parts.missing():
                model = self._part(at, table)
                own = _rows(exclude, likes, starts[at], model.user_ids)
                # It goes on within the part, too, if that was begun.
                model.recommend_all(parts.path(at), n, own, **asked, **options)
            parts.join()
        return Path(out)

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
        """Write the vectors, with ids and metadata, to a file or a database, part by part.

        The tables are those of `Model.export`, as are the parameters and other errors.

        Parameters
        ----------
        destination : path or str
            A file, a file or folder of a database, or the URL of a server.
        what : str
            "items", "users", or "both", which only databases can hold together.

        Returns
        -------
        dict of str to int
            The number of rows of each table that was written, by its name (of a file, its path).

        Raises
        ------
        ModelError, ExportError
            If a file of the model is missing, damaged or of another model; the message names it,
            and nothing is written. Which of both depends on the destination.

        Notes
        -----
        At most two parts of the users are in memory at a time. With ``user_metadata`` there are
        also these and 8 bytes for each user, and the parts are read twice.

        Examples
        --------
        >>> import tempfile
        >>> import pyarrow.parquet
        >>> from cml_fast import Model
        >>> from cml_fast.distributed import PartitionedModel
        >>> model = Model([[0.0], [5.0], [9.0]], [[1.0]], user_ids=["ann", "bob", "eve"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     partitioned = PartitionedModel.of(model, f"{folder}/model", users_per_part=2)
        ...     written = partitioned.export(f"{folder}/users.parquet", "users")
        ...     pyarrow.parquet.read_table(f"{folder}/users.parquet")["id"].to_pylist()
        ['ann', 'bob', 'eve']
        """
        return export(
            destination,
            {
                "items": RowsInFiles("item", self.folder, [self._items], self._n_dims),
                "users": RowsInFiles("user", self.folder, self._users, self._n_dims),
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

    def _check_cold(self, cold_users: str) -> None:
        """Refuse users without likes, or warn the caller of the caller of them."""
        n = sum(entry.without_likes for entry in self._users)
        if n and cold_users == "error":
            raise ValueError(f"{n} users have no likes in training: set cold_users='popular'")
        if n and cold_users == "popular":
            warnings.warn(
                f"{n} of {self.n_users} users have no likes in training and get the most popular "
                "items",
                stacklevel=3,
            )

    def _excluded(self, exclude: Any, item_ids: np.ndarray) -> sp.csr_array | MappedLikes | None:
        """The likes of all users, of which `_rows` takes some."""
        if exclude is None:
            return None
        if isinstance(exclude, Interactions | Dataset) and not same_ids(exclude.item_ids, item_ids):
            raise DataError("exclude.item_ids are not those of the model, in its order")
        given = exclude.matrix if isinstance(exclude, Interactions) else exclude
        if not isinstance(given, Dataset) and not sp.issparse(given):
            raise TypeError(
                "exclude must be a scipy.sparse matrix or array, Interactions or a Dataset, got "
                f"{type(exclude).__name__}"
            )
        if tuple(given.shape) != self.shape:
            raise DataError(
                f"exclude must have shape {self.shape} (users x items), got {tuple(given.shape)}"
            )
        return map_likes(given) if isinstance(given, Dataset) else sp.csr_array(given)

    def _part(self, at: int, items: pa.Table) -> Model:
        entry = self._users[at]
        users = read_table(self.folder, entry)
        try:
            model = Model(
                vectors_in(users),
                vectors_in(items),
                user_ids=ids_in(users),
                item_ids=ids_in(items),
                hyperparameters=self.hyperparameters,
                user_counts=counts_in(users),
                item_counts=counts_in(items),
                history=self.history,
            )
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{self.folder}/{entry.name} and {ITEMS} do not make a valid model: {error}"
            ) from error
        return model._with(_version=self.version)


def _fingerprint(exclude: Any, likes: sp.csr_array | MappedLikes | None) -> str:
    if isinstance(exclude, Dataset):
        return exclude.token
    if likes is None:
        return "nothing"
    return bulk.fingerprint(likes.indptr.astype(np.int64), likes.indices.astype(np.int64))


def _rows(
    exclude: Any, likes: sp.csr_array | MappedLikes | None, first: int, user_ids: np.ndarray
) -> sp.csr_array | None:
    """The likes of the users of a part, which begins at user ``first``."""
    if likes is None:
        return None
    last = first + len(user_ids)
    if isinstance(exclude, Interactions | Dataset) and not same_ids(
        exclude.user_ids[first:last], user_ids
    ):
        raise DataError("exclude.user_ids are not those of the model, in its order")
    return likes.rows(first, last) if isinstance(likes, MappedLikes) else likes[first:last]
