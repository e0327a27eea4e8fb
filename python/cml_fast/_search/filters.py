"""Which items a search may find: what is checked of the arguments, and what it means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._memory import check_memory
from .._validation.matrices import check_matrix, check_rows
from .._validation.scalars import check_int
from ..data._alignment import interaction_rows, nothing_excluded
from ..data._ids import IdIndex
from ..errors import DataError
from .tiles import not_among

# A number and a distance, and both once more while they are sorted.
RESULT_BYTES = 2 * (8 + 4)
# Results of each query, where neither their number nor candidates are given.
DEFAULT_N = 10


@dataclass(frozen=True)
class Filters:
    """What may be found for each of m queries among p points.

    Attributes
    ----------
    exclude : scipy.sparse.csr_array, (m, p)
        Its stored entries are pairs that may not be found.
    allowed : numpy.ndarray, (p,), bool, optional
        What may be found for any query.
    candidates : scipy.sparse.csr_array, (m, p), optional
        Its stored entries are the only pairs that may be found.
    groups : numpy.ndarray, (p,), int64, optional
        The group of each point; those of group -1 are in none.
    max_per_group : int
        Of each group at most so many are found for a query.
    """

    exclude: sp.csr_array
    allowed: np.ndarray | None = None
    candidates: sp.csr_array | None = None
    groups: np.ndarray | None = None
    max_per_group: int = 0

    def of(self, queries: np.ndarray) -> Filters:
        """Return the filters of some of the queries, by their numbers."""
        if len(queries) == self.exclude.shape[0]:
            return self
        candidates = None if self.candidates is None else self.candidates[queries]
        return replace(self, exclude=self.exclude[queries], candidates=candidates)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and columns of the candidates that no other filter leaves out."""
        assert self.candidates is not None
        rows, columns = _entries(self.candidates)
        kept = not_among(rows, columns, _entries(self.exclude), self.exclude.shape[1])
        if self.allowed is not None:
            kept &= self.allowed[columns]
        return rows[kept], columns[kept]

    def n_left(self) -> np.ndarray:
        """Return how many points there are for each query, groups aside: (m,), int64."""
        m, p = self.exclude.shape
        if self.candidates is not None:
            counts: np.ndarray = np.bincount(self.pairs()[0], minlength=m)
            return counts
        if self.allowed is None:
            return np.asarray(p - np.diff(self.exclude.indptr).astype(np.int64))
        rows, columns = _entries(self.exclude)
        left_out = np.bincount(rows[self.allowed[columns]], minlength=m)
        n_left: np.ndarray = np.count_nonzero(self.allowed) - left_out
        return n_left


def _entries(matrix: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows, matrix.indices.astype(np.int64)


class Asked:
    """Checks the filters of one call.

    Parameters
    ----------
    index : IdIndex
        The ids of the points that are searched.
    m : int
        The number of queries.
    ids : bool
        Whether points are named by ids, or else by row numbers.
    what : str
        What the points are called: "item" or "user".
    """

    def __init__(self, index: IdIndex, m: int, ids: bool, what: str = "item") -> None:
        self._index, self._m, self._ids, self._what = index, m, ids, what
        self._p = len(index.array)

    def filters(
        self,
        exclude: sp.csr_array,
        among: tuple[str, Any],
        left_out: tuple[str, Any],
        groups: Any = None,
        max_per_group: Any = None,
    ) -> Filters:
        """Return checked filters; those with a name are of arguments that differ between methods.

        Raises
        ------
        TypeError, ValueError, DataError
            If an argument is of the wrong kind, names something unknown, or allows nothing.
        """
        allowed = candidates = None
        if among[1] is not None:
            if self.is_for_each(among[1]):
                candidates = self._candidates(*among)
            else:
                allowed = self._mask(*among)
                if not allowed.any():
                    raise ValueError(
                        f"{among[0]} allows no {self._what}: name at least one, or leave "
                        f"{among[0]} out to allow all of them"
                    )
        if left_out[1] is not None:
            rest = ~self._mask(*left_out)
            allowed = rest if allowed is None else allowed & rest
            if not allowed.any():
                raise ValueError(
                    f"{left_out[0]} leaves nothing to recommend: it has every {self._what}"
                    f"{f' of {among[0]}' if among[1] is not None else ''}"
                )
        codes, most = self._groups(groups, max_per_group)
        return Filters(exclude, allowed, candidates, codes, most)

    def n(self, n: Any, filters: Filters, among: Any) -> int:
        """Return how many are wanted: by default 10, or all candidates if there are such."""
        if n is None and among is None:
            return DEFAULT_N
        if n is None:
            n = max(1, int(filters.n_left().max(initial=0)))
        return check_n(n, self._m, self._p, self._what)

    def is_for_each(self, value: Any) -> bool:
        """Whether candidates are given for each query, not for all."""
        if sp.issparse(value):
            return True
        if isinstance(value, np.ndarray) and value.dtype != object:
            return value.ndim == 2
        return isinstance(value, Sequence | np.ndarray) and any(
            isinstance(each, np.ndarray | Sequence) and not isinstance(each, str) for each in value
        )

    def _candidates(self, name: str, value: Any) -> sp.csr_array:
        shape = (self._m, self._p)
        if sp.issparse(value):
            return check_matrix(name, value, shape, stacklevel=5)
        if len(value) != self._m:
            raise ValueError(
                f"{name} must be candidates for each of {self._m} queries, or for all of them, got "
                f"{len(value)} lists"
            )
        lists = [np.unique(self._rows(f"{name}[{at}]", each)) for at, each in enumerate(value)]
        starts = np.append(0, np.cumsum([len(each) for each in lists]))
        columns = np.concatenate(lists) if lists else np.zeros(0, dtype=np.int64)
        return sp.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)

    def _mask(self, name: str, value: Any) -> np.ndarray:
        """Return which points are named, (p,), bool."""
        array = value if isinstance(value, np.ndarray) else np.asarray(_listed(name, value))
        if array.dtype == bool:
            if array.shape != (self._p,):
                raise ValueError(
                    f"{name} must have one bool for each of {self._p} {self._what}s, got shape "
                    f"{array.shape}"
                )
            return array
        mask = np.zeros(self._p, dtype=bool)
        mask[self._rows(name, value)] = True
        return mask

    def _rows(self, name: str, value: Any) -> np.ndarray:
        listed = value if isinstance(value, np.ndarray) else _listed(name, value)
        if self._ids:
            try:
                return np.atleast_1d(self._index.rows(listed))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{name}: {error}") from None
        return check_rows(name, listed, self._p)

    def _groups(self, groups: Any, max_per_group: Any) -> tuple[np.ndarray | None, int]:
        if (groups is None) != (max_per_group is None):
            missing = "groups" if groups is None else "max_per_group"
            raise ValueError(f"{missing} is missing: give groups and max_per_group, or neither")
        if groups is None:
            return None, 0
        most = check_int("max_per_group", max_per_group, 1)
        labels = np.asarray(groups).tolist()
        if not isinstance(labels, list) or len(labels) != self._p:
            got = len(labels) if isinstance(labels, list) else repr(groups)
            raise ValueError(
                f"groups must be one label for each of {self._p} {self._what}s, got {got}"
            )
        codes: dict[Any, int] = {}
        try:
            found = [
                # None and NaN, which is not equal to itself, stand for no group.
                -1 if label is None or label != label else codes.setdefault(label, len(codes))
                for label in labels
            ]
        except TypeError as error:
            raise TypeError(f"groups must be numbers, strings or None: {error}") from None
        return np.array(found, dtype=np.int64), most


def _listed(name: str, value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    if isinstance(value, set | frozenset | range) or not hasattr(value, "__len__"):
        return list(value)
    return value


def excluded_pairs(
    exclude: Any,
    rows: np.ndarray,
    users: IdIndex,
    items: IdIndex,
    *,
    argument: str = "exclude",
    stacklevel: int,
) -> sp.csr_array:
    """Return the entries of these users, (m, n_items), in one matrix or several.

    A matrix has a row for each user of the model, or, unless there are as many as that, a row for
    each of the users asked for, in their order.

    Warnings point at the caller of the caller with a ``stacklevel`` of 3.

    Raises
    ------
    TypeError, DataError
        If one is no sparse matrix, or has another shape or other ids.
    """
    shape = (len(rows), len(items.array))
    several = isinstance(exclude, list | tuple)
    if not len(rows):
        return sp.csr_array(shape, dtype=np.float32)
    mask: sp.csr_array | None = None
    for at, matrix in enumerate(exclude if several else [exclude]):
        if matrix is None:
            continue
        name = f"{argument}[{at}]" if several else argument
        n_rows = matrix.shape[0] if sp.issparse(matrix) and matrix.ndim == 2 else None
        if n_rows is not None and n_rows not in (len(rows), len(users.array)):
            raise DataError(
                f"{name} must have shape {(len(users.array), shape[1])} (users x items), or a row "
                f"for each of the {len(rows)} users asked for, got {matrix.shape}"
            )
        if n_rows == len(rows) != len(users.array):
            part = check_matrix(name, matrix, shape, stacklevel=stacklevel + 1)
        else:
            part = interaction_rows(
                name, matrix, rows, users.array, items.array, stacklevel=stacklevel + 1
            )
        mask = part if mask is None else mask + part
    return nothing_excluded(shape) if mask is None else mask


def check_n(n: Any, m: int, p: int, what: str = "item") -> int:
    """Return a number of results for each of ``m`` queries among ``p`` points, checked.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is no positive integer.
    MemoryError
        If so many results would not fit into memory.
    """
    wanted: int = check_int("n", n, 1)
    check_memory(
        f"n={wanted:,} results for each of {m:,} queries",
        m * wanted * RESULT_BYTES,
        f"there are {p:,} {what}s: give a lower n, or ask for fewer at a time",
    )
    return wanted


def group_limit(filters: Filters) -> int:
    """Return how many can be found at most for a query that excludes nothing."""
    groups = filters.groups
    assert groups is not None
    if filters.allowed is not None:
        groups = groups[filters.allowed]
    counts = np.bincount(groups[groups >= 0])
    return int(np.minimum(counts, filters.max_per_group).sum() + np.count_nonzero(groups < 0))


def named_rows(what: str, index: IdIndex, given: Any, ids: bool) -> np.ndarray:
    """Return the row numbers of what is asked for by number, or by id."""
    if not ids:
        try:
            return check_rows(what, given, len(index.array))
        except TypeError as error:
            raise TypeError(f"{error}, or give ids=True") from None
    return np.atleast_1d(index.rows(_listed(what, given) if np.ndim(given) else given))


def results(
    found: tuple[np.ndarray, np.ndarray], scalar: bool, index: IdIndex, ids: bool
) -> tuple[Any, Any]:
    """Return what was found as it was asked for: for one query or several, by number or id.

    Ids have no -1 for what is missing: there is an array of its own for each query, without it.
    """
    rows, distances = found
    if not ids:
        return (rows[0], distances[0]) if scalar else found
    there = rows >= 0
    names = [index.array[each[kept]] for each, kept in zip(rows, there, strict=True)]
    lengths = [each[kept] for each, kept in zip(distances, there, strict=True)]
    return (names[0], lengths[0]) if scalar else (names, lengths)
