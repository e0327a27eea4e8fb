"""A model whose users are in parts: a folder on any file system of `pyarrow.fs`.

    partitioned.json             how it was made, and the files with their sizes and SHA-256
    items.parquet                all items
    users-00003-0001.parquet     some users of worker 3

The files are tables with the columns ``id``, ``vector`` and, if it is known, ``likes``: how many
likes there were in training. Workers write their users themselves. ``partitioned.json`` is written
when all files are there; a folder without it is not complete.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.sparse as sp
from pyarrow import fs

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
from ._storage import locate, named_in_errors, replace_file, write_file

KIND, FORMAT = "cml_fast.partitioned", 1
MANIFEST = "partitioned.json"
ITEMS = "items.parquet"
# Users of a part, at most: with 64 dimensions their vectors take 64 MiB.
USERS = 1 << 18
_FILE = re.compile(r"(items|users-\d{5,}-\d{4,})\.parquet")


class Entry(NamedTuple):
    """What the manifest says of a file."""

    name: str
    rows: int
    without_likes: int  # in training; 0 if that is not known
    bytes: int
    sha256: str


# --- writing --------------------------------------------------------------------------------------


def prepare(folder: str) -> None:
    """Make the folder if it is absent, and remove what an interrupted call has left in it.

    Raises
    ------
    FileExistsError
        If it has anything else, or a whole model.
    OSError
        If it cannot be made.
    """
    system, place = locate(folder)
    with named_in_errors(folder):
        system.create_dir(place, recursive=True)
    left = system.get_file_info(fs.FileSelector(place))
    for entry in left:
        if entry.base_name == MANIFEST:
            raise FileExistsError(f"{folder} holds a model: give another folder")
        if not _FILE.fullmatch(entry.base_name) and entry.base_name != f"{MANIFEST}.new":
            raise FileExistsError(
                f"{folder} holds {entry.base_name!r}: give an empty or a new folder"
            )
    for entry in left:
        system.delete_file(entry.path)


def write_users(
    folder: str,
    number: int,
    vectors: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray | None,
    users_per_part: int = USERS,
) -> list[Entry]:
    """Write the users of worker ``number``.

    Parameters
    ----------
    folder : str
    number : int
    vectors : numpy.ndarray, (n, r), float32
    ids : numpy.ndarray, (n,), int64, or object with a str in each place
    counts : numpy.ndarray, (n,), int64, or None
        How many likes each has.
    users_per_part : int

    Returns
    -------
    list of Entry
        Of the files, in the order of the users.
    """
    entries = []
    for at, first in enumerate(range(0, len(vectors), users_per_part)):
        own = slice(first, first + users_per_part)
        some = None if counts is None else counts[own]
        name = f"users-{number:05d}-{at:04d}.parquet"
        entries.append(_write(folder, name, vectors[own], ids[own], some))
    return entries


def write_whole(
    folder: str,
    users: Sequence[Entry],
    vectors: np.ndarray,
    ids: np.ndarray,
    counts: np.ndarray | None,
    about: dict[str, Any],
) -> PartitionedModel:
    """Write the items and the manifest, and open the model.

    Parameters
    ----------
    folder : str
    users : sequence of Entry
        The files of all users, in their order.
    vectors, ids, counts
        Of all items, as for `write_users`.
    about : dict
        The model's "hyperparameters", "history" and "version".

    Raises
    ------
    FileNotFoundError
        If a file of users is not there for this process.
    OSError
        If writing fails.
    """
    system, place = locate(folder)
    for entry in users:
        if system.get_file_info(f"{place}/{entry.name}").size != entry.bytes:
            raise FileNotFoundError(
                f"{folder}/{entry.name} was written by a worker, and is not there for the process "
                "that called fit: give a folder or URI that all nodes reach"
            )
    items = _write(folder, ITEMS, vectors, ids, counts)
    files = [entry._asdict() for entry in (items, *users)]
    body = {**about, "n_dims": vectors.shape[1], "files": files}
    record = {"kind": KIND, "format": FORMAT, **body, "checksum": _checksum(body)}
    replace_file(folder, MANIFEST, json.dumps(record, indent=1).encode("ascii"))
    return PartitionedModel.open(folder)


def _write(
    folder: str, name: str, vectors: np.ndarray, ids: np.ndarray, counts: np.ndarray | None
) -> Entry:
    n, r = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    columns = {
        "id": pa.array(ids, pa.int64() if ids.dtype.kind == "i" else pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, r),
    }
    if counts is not None:
        columns["likes"] = pa.array(counts, pa.int64())
    sink = pa.BufferOutputStream()
    # A dictionary of vectors, all of which differ, would only cost time.
    repeated = [column for column in columns if column != "vector"]
    pa.parquet.write_table(pa.table(columns), sink, use_dictionary=repeated)
    content = sink.getvalue()
    write_file(folder, name, content)
    n_cold = 0 if counts is None else int((counts == 0).sum())
    return Entry(name, n, n_cold, content.size, hashlib.sha256(content).hexdigest())


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()


# --- the model ------------------------------------------------------------------------------------


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
        model = cls(path, _read_manifest(path))
        system, place = locate(path)
        for entry in (model._items, *model._users):
            found = system.get_file_info(f"{place}/{entry.name}")
            if found.type != fs.FileType.File:
                raise ModelError(f"{path}/{entry.name} is missing: the model is incomplete")
            model._check_size(entry, found.size)
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
        return write_whole(path, write_users(path, 0, *users, users_per_part), *items, about)

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
        items = self._read(self._items)
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
        table = self._read(self._items)
        index = IdIndex("item", _ids(table), self.n_items)
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
        users = self._read(entry)
        try:
            model = Model(
                _vectors(users),
                _vectors(items),
                user_ids=_ids(users),
                item_ids=_ids(items),
                hyperparameters=self.hyperparameters,
                user_counts=_counts(users),
                item_counts=_counts(items),
                history=self.history,
            )
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{self.folder}/{entry.name} and {ITEMS} do not make a valid model: {error}"
            ) from error
        return model._with(_version=self.version)

    def _check_size(self, entry: Entry, n_bytes: int) -> None:
        if n_bytes != entry.bytes:
            raise ModelError(
                f"{self.folder}/{entry.name} has {n_bytes} bytes instead of {entry.bytes}: it is "
                "truncated, or of another model"
            )

    def _read(self, entry: Entry) -> pa.Table:
        """Read a file, or raise ModelError if it is not the one that was written."""
        system, place = locate(self.folder)
        try:
            with system.open_input_stream(f"{place}/{entry.name}") as file:
                content = file.read()
        except FileNotFoundError:
            raise ModelError(
                f"{self.folder}/{entry.name} is missing: the model is incomplete"
            ) from None
        self._check_size(entry, len(content))
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ModelError(
                f"{self.folder}/{entry.name} is damaged or of another model: its SHA-256 is not "
                f"the one in {MANIFEST}"
            )
        return pa.parquet.read_table(pa.BufferReader(content), use_threads=False)


def _read_manifest(folder: str) -> dict[str, Any]:
    system, place = locate(folder)
    try:
        with system.open_input_stream(f"{place}/{MANIFEST}") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"{folder} has no {MANIFEST}: it is no such model, or incomplete"
        ) from None
    except ValueError as error:
        raise ModelError(f"{folder}/{MANIFEST} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise ModelError(f"{folder}/{MANIFEST} is not the manifest of a partitioned model")
    if record.get("format") != FORMAT:
        raise ModelError(
            f"{folder}/{MANIFEST} has format {record.get('format')}, and this release of cml_fast "
            f"reads {FORMAT}"
        )
    body = {name: v for name, v in record.items() if name not in ("kind", "format", "checksum")}
    if record.get("checksum") != _checksum(body):
        raise ModelError(f"{folder}/{MANIFEST} is damaged or was edited by hand")
    return record


def _ids(table: pa.Table) -> np.ndarray:
    column = table["id"]
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.array(column.to_pylist(), dtype=object)


def _vectors(table: pa.Table) -> np.ndarray:
    column = table["vector"].combine_chunks()
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(column), -1)


def _counts(table: pa.Table) -> np.ndarray | None:
    return np.asarray(table["likes"].to_numpy()) if "likes" in table.column_names else None


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
