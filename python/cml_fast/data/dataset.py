"""Data sets larger than memory: likes in a folder, of which only what is used is in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._validation.scalars import check_bytes, check_choice, check_real
from ._dataset.folder import (
    IDS,
    MANIFEST,
    Manifest,
    check_offsets,
    map_array,
    read_manifest,
    verify_arrays,
)
from ._dataset.writer import PART_PAIRS, Writer
from ._readers.report import ON_BAD_LINES


class Dataset:
    """Who liked what, in a folder, for likes that do not fit in memory.

    The arrays are those of a CSR matrix. They are memory-mapped: the system reads what is used of
    them from the disk, keeps as much as there is room for, and drops the rest.

    `build` makes such a folder of files, and `open` opens it.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    shape : tuple of int
        (n_users, n_items).
    n_users, n_items, nnz : int
        The numbers of users, items and pairs.
    indptr : numpy.memmap, (n_users + 1,), int64
        The pairs of user u are those from ``indptr[u]`` to ``indptr[u + 1]``.
    indices : numpy.memmap, (nnz,), int32
        The item of each pair; sorted and distinct for each user.
    weights : numpy.memmap, (nnz,), float32, or None
        The weight of each pair; None if all are 1.
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,), int64 or str
        The external id of each row and column; read when they are asked for.
    token : str
        The SHA-256 of all that the folder holds: two data sets with one token are equal.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cml_fast.data import Dataset
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name)
    >>> size = (path / "likes.csv").write_text("user,item\\nann,tea\\nbob,tea\\nbob,rice\\n")
    >>> likes = Dataset.build(path / "likes.csv", path / "likes")
    >>> likes
    Dataset(2 users x 2 items, 3 interactions)
    >>> likes.indptr.tolist(), likes.indices.tolist()
    ([0, 1, 3], [1, 0, 1])
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        from ._dataset.ids import check_ids

        self.path, self._manifest = path, manifest
        self.n_users, self.n_items = manifest.n_users, manifest.n_items
        self.nnz, self.token = manifest.n_pairs, manifest.token
        self.indptr = map_array(path, manifest, "indptr")
        self.indices = map_array(path, manifest, "indices")
        self.weights = map_array(path, manifest, "weights") if manifest.is_weighted else None
        check_offsets(path, manifest, self.indptr)
        for name, count in zip(IDS, self.shape, strict=True):
            check_ids(path / f"{name}.parquet", count)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Dataset:
        """Open a folder that `build` made.

        The sizes of all files are checked, but not what is in them: `verify` does that.

        Parameters
        ----------
        path : str or path
            The folder.

        Returns
        -------
        Dataset

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        DataError
            If it is not a data set, not whole or of a newer format, or a file is missing, truncated
            or of another data set; the message names the file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast.data import Dataset
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name)
        >>> size = (path / "likes.csv").write_text("user,item\\nann,tea\\nbob,tea\\nbob,rice\\n")
        >>> likes = Dataset.build(path / "likes.csv", path / "likes")
        >>> Dataset.open(path / "likes").token == likes.token
        True
        >>> folder.cleanup()
        """
        folder = Path(path).absolute()
        return cls(folder, read_manifest(folder))

    @classmethod
    def build(
        cls,
        source: Any,
        out: str | os.PathLike[str],
        *,
        memory: int | str = "2GiB",
        format: str = "auto",
        user: str | int | None = None,
        item: str | int | None = None,
        rating: str | int | None = None,
        min_rating: float | None = None,
        weight: str | int | None = None,
        where: Mapping[str | int, Any] | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        quoting: str | None = None,
        encoding: str | None = None,
        missing: Sequence[str] = (),
        on_bad_lines: str = "error",
        progress: bool = False,
    ) -> Dataset:
        """Make a data set of files of any size.

        The result equals what `load_interactions` reads from the same files: the same ids in the
        same order, and the same pairs. The files are copied in a compact form, and the copy is
        sorted by DuckDB (the extra ``cml-fast[duckdb]``), which writes to the disk what does not
        fit in memory.

        A call that was interrupted goes on where it was: its work is in a folder ``OUT.unfinished``
        beside ``out``, and ``out`` appears in one step at the end. Files are read again from their
        begin, and parts that are complete and undamaged are not made again.

        Parameters
        ----------
        source : path, or a list of paths
            Files; a path may have wildcards or be a folder.
        out : str or path
            The folder to make. It must not be there yet.
        memory : int or str, default "2GiB"
            How much memory this may take beyond what the process has already: bytes, or a text
            such as "500MB" or "2GiB"; at least "256MiB".
        format, user, item, rating, min_rating, weight, where, delimiter, header, quoting, encoding
            See `load_interactions`.
        missing, on_bad_lines
            See `load_interactions`.
        progress : bool, default False
            Show bars on stderr.

        Returns
        -------
        Dataset

        Raises
        ------
        FileNotFoundError, DataError, ValueError, TypeError
            As `load_interactions`; a DataError also if a file changed since it was read, or if
            there are more than 2^31 - 1 users or items.
        FileExistsError
            If ``out`` is there already, is being made by another process, or was begun with other
            arguments.
        MemoryError
            If the pairs cannot be sorted with so little memory, or if DuckDB and its threads may
            not have the address space that they may need.
        OSError
            If the disk is full or too small; the same call goes on when there is room.
        ImportError
            If DuckDB is not installed.

        Warns
        -----
        UserWarning
            Weights of zero, bad lines and ratings that nobody asked for, as `load_interactions`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast.data import Dataset
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name)
        >>> size = (path / "likes.csv").write_text("user,item\\nann,tea\\nbob,tea\\nbob,rice\\n")
        >>> likes = Dataset.build(path / "likes.csv", path / "likes")
        >>> likes.shape, likes.user_ids.tolist()
        ((2, 2), ['ann', 'bob'])
        >>> folder.cleanup()
        """
        from ._dataset.building import OWN_BYTES, build

        options = {
            name: value
            for name, value in {
                "user": user,
                "item": item,
                "rating": rating,
                "min_rating": min_rating,
                "weight": weight,
                "where": where,
                "delimiter": delimiter,
                "header": header,
                "quoting": quoting,
                "encoding": encoding,
                "missing": tuple(missing) or None,
            }.items()
            if value is not None
        }
        if min_rating is not None:
            check_real("min_rating", min_rating, float("-inf"))
        check_choice("on_bad_lines", on_bad_lines, ON_BAD_LINES)
        n_bytes = check_bytes("memory", memory, 2 * OWN_BYTES)
        folder = Path(out).absolute()
        build(source, folder, {**options, "format": format}, on_bad_lines, n_bytes, progress)
        return cls.open(folder)

    @staticmethod
    def is_at(path: str | os.PathLike[str]) -> bool:
        """Return whether a path is the folder of a data set; its files are not looked at.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        bool

        Examples
        --------
        >>> from cml_fast.data import Dataset
        >>> Dataset.is_at("no-such-folder")
        False
        """
        return (Path(path) / MANIFEST).is_file()

    @property
    def shape(self) -> tuple[int, int]:
        """(n_users, n_items)."""
        return self.n_users, self.n_items

    @cached_property
    def user_ids(self) -> np.ndarray:
        """The external id of each row."""
        return self._read_ids("user_ids")

    @cached_property
    def item_ids(self) -> np.ndarray:
        """The external id of each column."""
        return self._read_ids("item_ids")

    def _read_ids(self, name: str) -> np.ndarray:
        from ._dataset.ids import read_ids

        return read_ids(self.path / f"{name}.parquet")

    def verify(self) -> None:
        """Read everything once, and compare it with the checksums in the manifest.

        Raises
        ------
        DataError
            If a file is damaged or of another data set; the message names it.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast.data import Dataset
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name)
        >>> size = (path / "likes.csv").write_text("user,item\\nann,tea\\nbob,tea\\nbob,rice\\n")
        >>> likes = Dataset.build(path / "likes.csv", path / "likes")
        >>> likes.verify()
        >>> folder.cleanup()
        """
        from ._dataset.ids import verify_ids

        for _ in verify_arrays(self.path, self._manifest):
            pass
        verify_ids(self.path, self._manifest.ids_sha256)

    def _verify_users(self, first: int, last: int) -> None:
        """As `verify`, for the parts with the users [first, last)."""
        for _ in verify_arrays(self.path, self._manifest, (first, last)):
            pass

    @classmethod
    def _write(
        cls,
        matrix: Any,
        out: Path,
        user_ids: Any = None,
        item_ids: Any = None,
        part_pairs: int = PART_PAIRS,
    ) -> Dataset:
        """Make a data set of a matrix in memory, for tests.

        ``matrix`` is a canonical CSR matrix; ids are 0, 1, 2, ... unless given. ``out`` is made.
        """
        import pyarrow as pa

        from ._dataset.ids import IdWriter

        given = sp.csr_array(matrix)
        out.mkdir(parents=True)
        sums = {}
        for name, ids, count in zip(IDS, (user_ids, item_ids), given.shape, strict=True):
            array = pa.array(np.arange(count) if ids is None else ids)
            writer = IdWriter(out / f"{name}.parquet", array.type)
            writer.append(array)
            sums[name] = writer.finish()
        is_weighted = bool((given.data != 1).any())
        arrays = Writer(out, is_weighted)
        counts, user = np.diff(given.indptr), 0
        while user < given.shape[0]:
            limit = given.indptr[user] + part_pairs
            end = max(user + 1, int(np.searchsorted(given.indptr, limit, "right")) - 1)
            pairs = slice(given.indptr[user], given.indptr[end])
            arrays.add_pairs(given.indices[pairs], given.data[pairs] if is_weighted else None)
            arrays.add_users(counts[user:end])
            arrays.end_part()
            user = end
        arrays.finish(given.shape[1], sums)
        arrays.close()
        return cls.open(out)

    def __reduce__(self) -> Any:
        return Dataset.open, (self.path,)  # what a worker process gets is the path

    def __repr__(self) -> str:
        return (
            f"Dataset({self.n_users:,} users x {self.n_items:,} items, {self.nnz:,} interactions)"
        )
