"""What every split takes and returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ..._validation.matrices import check_matrix
from ..._validation.scalars import check_int, check_real
from ...errors import DataError
from ..interactions import Interactions

# An Interactions or a scipy.sparse matrix, which has no type of its own.
Source = TypeVar("Source", bound=Any)

# What a split counts. A new count is a line here.
COUNTS = {
    "users_with_too_few": "users with too few interactions to divide, all in train",
    "users_with_ties": "users whose border falls within a moment, divided at random",
    "ties_moved": "interactions that went to test so that no moment is divided",
    "users_without_training": "users of other parts who have nothing in train",
    "items_without_training": "items of other parts that have nothing in train",
    "interactions_without_training": "interactions of other parts with such a user or item",
}
_OTHER_NAMES = {2: ("test",), 3: ("validation", "test")}


@dataclass(frozen=True)
class SplitReport:
    """What a split did: the size of each part, and what is left out of training or test, and why.

    Attributes
    ----------
    names : tuple of str
        The names of the parts, such as ``("train", "test")``.
    interactions, users, items : tuple of int
        How many there are in each part; of users and items those with an interaction in it.
    counts : dict of str to int
        ``users_without_training``, ``items_without_training``: users and items that have
        interactions in another part, but none in the first one. A model knows nothing of them.
        ``interactions_without_training``: the interactions of other parts with such a user or
        item. Further counts depend on the split: ``users_with_too_few``, users whose interactions
        are all in the first part, because they are too few to divide;
        ``ties_moved``, interactions that went to the test part so that no moment is divided;
        ``users_with_ties``, users for whom chance decided between interactions of one moment.

    Examples
    --------
    >>> from cml_fast.data import split, synthetic
    >>> parts = split(synthetic(200, 100, 2000).interactions, (0.8, 0.2))
    >>> parts.report.interactions
    (1608, 392)
    >>> print(parts.report)
                interactions       users       items
    train              1,608         200         100
    test                 392         187          97
    users with too few interactions to divide, all in train: 13
    """

    names: tuple[str, ...]
    interactions: tuple[int, ...]
    users: tuple[int, ...]
    items: tuple[int, ...]
    counts: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{'':10}{'interactions':>14}{'users':>12}{'items':>12}"]
        for name, *numbers in zip(
            self.names, self.interactions, self.users, self.items, strict=True
        ):
            lines.append(f"{name:10}{numbers[0]:14,}{numbers[1]:12,}{numbers[2]:12,}")
        lines += [
            f"{what}: {self.counts[name]:,}"
            for name, what in COUNTS.items()
            if self.counts.get(name)
        ]
        return "\n".join(lines)


class Split(tuple[Source, ...], Generic[Source]):
    """The parts of a split, a tuple that also holds a report.

    Attributes
    ----------
    report : SplitReport
        How large the parts are, and what was left out and why.
    part_of : numpy.ndarray, (n_interactions,), uint
        The number of the part in which each interaction is, in the order of ``matrix.data`` (of a
        plain matrix: of its canonical CSR form). ``part_of == 1`` is a mask, and
        ``numpy.flatnonzero(part_of == 1)`` are the numbers of the entries of the second part.

    Examples
    --------
    >>> import numpy as np
    >>> from cml_fast.data import split, synthetic
    >>> parts = split(synthetic(200, 100, 2000).interactions, (0.8, 0.2))
    >>> train, test = parts
    >>> int(test.matrix.nnz), parts.report.interactions[1], np.flatnonzero(parts.part_of == 1).size
    (392, 392, 392)
    """

    report: SplitReport
    part_of: np.ndarray

    def __new__(cls, parts: Iterable[Source], report: SplitReport, part_of: np.ndarray) -> Any:
        made = super().__new__(cls, parts)
        made.report = report
        made.part_of = part_of
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:  # for pickle and copy
        return tuple(self), self.report, self.part_of

    def __repr__(self) -> str:
        parts = zip(self.report.names, self, strict=True)
        return f"Split({', '.join(f'{name}={part!r}' for name, part in parts)})"


def check_source(interactions: Any) -> sp.csr_array:
    """Return the canonical matrix of what is to be split.

    Warnings point at the caller of the caller.
    """
    matrix = interactions.matrix if isinstance(interactions, Interactions) else interactions
    return check_matrix("interactions", matrix, stacklevel=4)


def timestamps_of(interactions: Any) -> np.ndarray:
    """Return the timestamps of interactions, or raise DataError."""
    times = interactions.timestamps if isinstance(interactions, Interactions) else None
    if times is None:
        what = "have none" if isinstance(interactions, Interactions) else "are a plain matrix"
        raise DataError(
            f"a split by time needs timestamps, but these interactions {what}; give the column to "
            "load_interactions as timestamp=, or arrays to Interactions.from_arrays as timestamps="
        )
    return times


def check_test_size(test_size: Any) -> int | float:
    """Return an int of at least 1, or a share between 0 and 1."""
    if isinstance(test_size, (float, np.floating)):
        share = check_real("test_size", test_size, 0.0, strict=True)
        if share >= 1:
            raise ValueError(
                f"test_size must be a share between 0 and 1 or a whole number, got {test_size!r}"
            )
        return share
    return check_int("test_size", test_size, 1)


def n_of(test_size: float, total: npt.NDArray[np.int64] | int) -> Any:
    """Return how many of ``total`` a number or a share is; a share is rounded, half up."""
    if isinstance(test_size, int):
        return np.minimum(test_size, total)
    return np.floor(test_size * np.asarray(total) + 0.5).astype(np.int64)


def rows_of(matrix: sp.csr_array) -> np.ndarray:
    """Return the row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def make_split(
    interactions: Source,
    matrix: sp.csr_array,
    part_of: np.ndarray,
    n_parts: int = 2,
    **counts: int,
) -> Split[Source]:
    """Divide the entries of a canonical matrix by the number of their part.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array
        What ``matrix`` is the matrix of; the parts are of the same kind.
    part_of : numpy.ndarray, (nnz,), int or bool
    **counts
        What the kind of split counts, see `COUNTS`.
    """
    part_of = part_of.astype(np.min_scalar_type(n_parts), copy=False)
    parts = [take(interactions, matrix, part_of == number) for number in range(n_parts)]
    split: Split[Source] = Split(parts, _report(matrix, part_of, n_parts, counts), part_of)
    return split


def take(interactions: Any, matrix: sp.csr_array, chosen: np.ndarray) -> Any:
    """Return the chosen entries, a mask over those of the canonical matrix, in the same shape."""
    indptr = np.append(0, np.cumsum(chosen))[matrix.indptr].astype(matrix.indptr.dtype)
    parts = (matrix.data[chosen], matrix.indices[chosen], indptr)
    if isinstance(interactions, sp.spmatrix):
        return sp.csr_matrix(parts, shape=matrix.shape)
    part = sp.csr_array(parts, shape=matrix.shape)
    if not isinstance(interactions, Interactions):
        return part
    times = interactions.timestamps
    return interactions._with(part, None if times is None else times[chosen])


def _report(
    matrix: sp.csr_array, part_of: np.ndarray, n_parts: int, counts: dict[str, int]
) -> SplitReport:
    sizes = {}
    is_lost = np.zeros(part_of.size, dtype=bool)
    axes = {"users": (rows_of(matrix), matrix.shape[0]), "items": (matrix.indices, matrix.shape[1])}
    for name, (index, size) in axes.items():
        occurs = np.zeros((n_parts, size), dtype=bool)
        occurs[part_of, index] = True
        sizes[name] = tuple(np.count_nonzero(occurs, axis=1).tolist())
        is_unknown = occurs[1:].any(axis=0) & ~occurs[0]
        counts[f"{name}_without_training"] = int(np.count_nonzero(is_unknown))
        is_lost |= is_unknown[index]
    counts["interactions_without_training"] = int(np.count_nonzero(is_lost))
    numbered = tuple(f"part {number}" for number in range(1, n_parts))
    names = ("train", *_OTHER_NAMES.get(n_parts, numbered))
    interactions = tuple(np.bincount(part_of, minlength=n_parts).tolist())
    return SplitReport(names, interactions, sizes["users"], sizes["items"], counts)
