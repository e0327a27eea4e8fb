"""Interactions: who liked what, with the external ids of users and items."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from .._validation.matrices import check_matrix
from ..errors import DataError
from . import _frames, _saved, _summary
from ._building import build
from ._ids import id_array
from ._merging import latest
from ._readers.report import ReadReport
from ._timestamps import timestamp_array


@dataclass(frozen=True, repr=False, eq=False)
class Interactions:
    """Implicit feedback with external ids.

    The matrix is checked and brought into canonical form, and the ids and timestamps become arrays
    of the types below, whatever sequences they are given as.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, (n_users, n_items), float32
        The weight of each interaction; sorted, without duplicates or zeros.
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,), int64 or str
        The external id of each row and column.
    timestamps : numpy.ndarray, (matrix.nnz,), int64, float64 or datetime64[us], optional
        When each interaction happened, in the order of ``matrix.data``. Of duplicates the latest
        is kept.
    report : ReadReport, optional
        What became of every line, if the interactions were read from a file.

    Raises
    ------
    TypeError
        If the matrix is not sparse, or ids or timestamps are of another kind.
    ValueError
        If there is not one id for each row and column.
    DataError
        If the matrix is empty or has NaN, infinite or negative values, or if there is not one
        timestamp for each of its values.

    Warns
    -----
    UserWarning
        Duplicates are merged and zeros dropped, each with a warning that counts them.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import Interactions
    >>> matrix = sp.csr_array(np.array([[1, 0, 1], [0, 1, 0]], dtype=np.float32))
    >>> likes = Interactions(matrix, ["ann", "bob"], [10, 20, 30])
    >>> likes
    Interactions(2 users x 3 items, 3 interactions)
    >>> print(likes)
    users            2
    items            3
    interactions     3
    density          50%
    weights          1 to 1
    timestamps       none
    popular items    33% of the interactions are with the most popular 5% of the items
    """

    matrix: sp.csr_array
    user_ids: np.ndarray
    item_ids: np.ndarray
    timestamps: np.ndarray | None = None
    report: ReadReport | None = None

    def __post_init__(self) -> None:
        # Warnings point at the caller of __init__, which dataclasses put in between.
        matrix = check_matrix("matrix", self.matrix, stacklevel=4)
        ids = {}
        for name, size, what in zip(
            ("user_ids", "item_ids"), matrix.shape, ("row", "column"), strict=True
        ):
            ids[name] = id_array(name, getattr(self, name))
            if ids[name].size != size:
                raise ValueError(
                    f"{name} must be {size} ids, one for each {what} of the matrix, got "
                    f"{ids[name].size}"
                )
        timestamps = self.timestamps
        if timestamps is not None:
            timestamps = _in_order(self.matrix, matrix, timestamps)
        self._set(matrix, ids["user_ids"], ids["item_ids"], timestamps)

    @classmethod
    def from_arrays(
        cls,
        users: npt.ArrayLike,
        items: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        timestamps: npt.ArrayLike | None = None,
        *,
        user_ids: npt.ArrayLike | None = None,
        item_ids: npt.ArrayLike | None = None,
        unknown: str = "error",
    ) -> Interactions:
        """Make interactions of pairs of ids.

        Parameters
        ----------
        users, items : array-like of int or str, (n,)
            The two ids of each interaction: lists, NumPy arrays, pandas Series, pyarrow arrays.
        weights : array-like of float, (n,), optional
            Finite and not negative; by default all are 1.
        timestamps : array-like of int, float or datetime, (n,), optional
            When each interaction happened. Datetimes with a time zone become UTC.
        user_ids, item_ids : array-like of int or str, optional
            The ids of the result, in this order; by default those that occur, sorted.
        unknown : str, default "error"
            What happens to interactions whose ids are not in ``user_ids`` or ``item_ids``: they
            are an error, or with ``"drop"`` are left out and counted in a warning.

        Returns
        -------
        Interactions
            Ids that are all integers are int64, others str.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or ids are not unique.
        DataError
            If the lengths differ, a value is missing, negative or not finite, an id is unknown,
            or no interaction is left.

        Warns
        -----
        UserWarning
            Repeated pairs are merged (their weights are added, without weights they stay 1, and
            the latest timestamp is kept) and weights of zero are dropped, each with a warning
            that counts them.

        Examples
        --------
        >>> from cml_fast.data import Interactions
        >>> likes = Interactions.from_arrays(
        ...     ["bob", "ann", "ann"], [7, 7, 9], timestamps=[30, 10, 20]
        ... )
        >>> likes.user_ids.tolist(), likes.item_ids.tolist()
        (['ann', 'bob'], [7, 9])
        >>> likes.matrix.toarray().tolist(), likes.timestamps.tolist()
        ([[1.0, 1.0], [1.0, 0.0]], [10, 20, 30])
        """
        return cls(*build(users, items, weights, timestamps, user_ids, item_ids, unknown))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Interactions:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        Interactions

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        DataError
            If the file is damaged, or is none that `save` wrote; the message names it.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast.data import Interactions
        >>> likes = Interactions.from_arrays(["ann", "bob"], [7, 9])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     likes.save(Path(folder, "likes.npz"))
        ...     Interactions.load(Path(folder, "likes.npz"))
        Interactions(2 users x 2 items, 2 interactions)
        """
        arrays = _saved.read(Path(path))
        try:
            return cls(*_saved.unpack(arrays))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path} is damaged: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file.

        It is a zip archive of NumPy arrays, without pickle, that `load` reads. A file that is
        already there is replaced when the new one is complete.

        Parameters
        ----------
        path : str or path
            The file; ``.npz`` is the usual suffix, and none is added.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 2000).interactions
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     likes.save(Path(folder, "likes.npz"))
        ...     [file.name for file in Path(folder).iterdir()]
        ['likes.npz']
        """
        _saved.write(Path(path), self.matrix, self.user_ids, self.item_ids, self.timestamps)

    def to_frame(self, backend: str = "pandas") -> Any:
        """Return the interactions as a table, one in each row.

        Parameters
        ----------
        backend : str, default "pandas"
            Whose table: ``"pandas"``, ``"polars"`` or ``"pyarrow"``.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table, (matrix.nnz, 3 or 4)
            The columns ``user`` and ``item`` with ids, ``weight``, float32, and ``timestamp`` if
            there are timestamps. Users and items without interactions are not in it.

        Raises
        ------
        ValueError
            If there is no such backend.
        ImportError
            If the library is not installed.

        Examples
        --------
        >>> from cml_fast.data import Interactions
        >>> likes = Interactions.from_arrays(["ann", "bob"], [7, 9], timestamps=[3, 5])
        >>> likes.to_frame("pyarrow").to_pylist()[1]
        {'user': 'bob', 'item': 9, 'weight': 1.0, 'timestamp': 5}
        """
        rows = np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))
        columns = {
            "user": self.user_ids[rows],
            "item": self.item_ids[self.matrix.indices],
            "weight": self.matrix.data,
        }
        if self.timestamps is not None:
            columns["timestamp"] = self.timestamps
        return _frames.to_frame(columns, backend)

    def describe(self) -> dict[str, Any]:
        """Return the figures that ``print`` shows.

        Returns
        -------
        dict
            ``users``, ``items`` and ``interactions``, their numbers; ``density``, the share of all
            pairs that are interactions; ``weights`` and ``timestamps``, the smallest and largest
            (None without any); ``popular_share``, the share of the interactions that are with the
            most popular 5% of the items (rounded up to whole items).

        Examples
        --------
        >>> from cml_fast.data import synthetic
        >>> figures = synthetic(200, 100, 2000).interactions.describe()
        >>> figures["users"], figures["density"], figures["weights"], figures["timestamps"]
        (200, 0.1, (1.0, 1.0), None)
        >>> 0.05 < figures["popular_share"] < 1
        True
        """
        return _summary.describe(self.matrix, self.timestamps)

    def __array__(self, *_: Any, **__: Any) -> Any:
        # NumPy would make an array of one object, which scikit-learn's searches cannot divide.
        raise TypeError(
            "Interactions are not an array: give their .matrix or, to scikit-learn's searches, "
            "cml_fast.model_selection.Pairs(likes)"
        )

    def __repr__(self) -> str:
        n_users, n_items = self.matrix.shape
        return (
            f"Interactions({n_users:,} users x {n_items:,} items, {self.matrix.nnz:,} interactions)"
        )

    def __str__(self) -> str:
        return _summary.table(self.describe())

    def _with(self, matrix: sp.csr_array, timestamps: np.ndarray | None) -> Interactions:
        """Return others of the same users and items, which need no checks any more."""
        other = object.__new__(type(self))
        other._set(matrix, self.user_ids, self.item_ids, timestamps)
        return other

    def _set(
        self,
        matrix: sp.csr_array,
        user_ids: np.ndarray,
        item_ids: np.ndarray,
        timestamps: np.ndarray | None,
    ) -> None:
        object.__setattr__(self, "matrix", matrix)  # the class is frozen
        object.__setattr__(self, "user_ids", user_ids)
        object.__setattr__(self, "item_ids", item_ids)
        object.__setattr__(self, "timestamps", timestamps)


def _in_order(given: Any, matrix: sp.csr_array, timestamps: npt.ArrayLike) -> np.ndarray:
    """Return the timestamps of a given matrix in the order of the canonical one."""
    if given.format not in ("csr", "csc", "coo"):
        raise TypeError(
            f"matrix must be CSR, CSC or COO where it has timestamps, got {given.format}; "
            "Interactions.from_arrays takes them for pairs of ids"
        )
    times = timestamp_array("timestamps", timestamps, given.nnz)
    indices = given.indices[: given.nnz] if given.format == "csr" else None
    if indices is not None and np.array_equal(indices, matrix.indices):
        return times  # the usual case: it was canonical
    pairs = given.tocoo()
    # As in check_matrix: what single precision takes for zero is none.
    kept = pairs.data.astype(np.float32) != 0
    return latest(pairs.row[kept], pairs.col[kept], times[kept])
