"""Trainings that go on from a fitted trainer: which likes they know, and which users they train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import check_matrix
from ..data import Interactions
from ..data._ids import IdIndex, id_array
from ..errors import DataError

AXES = ("user_ids", "item_ids")


@dataclass(frozen=True)
class Update:
    """What `Trainer.partial_fit` or `Trainer.forget` trains on; a checkpoint holds all of it.

    Attributes
    ----------
    likes : scipy.sparse.csr_array, (n_users, n_items), float32
        All that are known, with the weights as they were given.
    users : numpy.ndarray, (m,), int64
        The rows that are trained on, ascending, with all their likes: so that nothing that a user
        is known to like is drawn as a negative of that user.
    n_epochs : int
        Passes over the likes of these users.
    weighting : str
        That of the fit.
    """

    likes: sp.csr_array
    users: np.ndarray
    n_epochs: int
    weighting: str


@dataclass(frozen=True)
class Forgotten:
    """What `Trainer.forget` has removed, and whose vectors had learned from it.

    Attributes
    ----------
    users, items : int
        Rows removed: vectors, AdaGrad accumulators, averages, ids and counts.
    likes : int
        Likes of theirs that were removed.
    touched_users, touched_items : int
        Users and items that stay and had a like in common with what was removed. Their vectors were
        pulled by these likes, and those of all items were pushed as negatives: retraining lets
        this fade.
    n_epochs : int
        Epochs of retraining.

    Examples
    --------
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> likes = synthetic(200, 100, 3000).interactions
    >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.21, device="cpu", verbose=False)
    >>> forgotten = trainer.fit(likes).forget(items=likes.item_ids[:2])
    >>> forgotten.items, forgotten.touched_items
    (2, 0)
    >>> print(trainer.fit(likes).forget(users=likes.user_ids[0], n_epochs=1))
    removed 1 users, 0 items and 10 likes
    0 users and 10 items had learned from these likes; 1 epochs of retraining
    """

    users: int
    items: int
    likes: int
    touched_users: int
    touched_items: int
    n_epochs: int

    def __str__(self) -> str:
        return (
            f"removed {self.users} users, {self.items} items and {self.likes} likes\n"
            f"{self.touched_users} users and {self.touched_items} items had learned from these "
            f"likes; {self.n_epochs} epochs of retraining"
        )


def only_users(likes: sp.csr_array, users: np.ndarray) -> sp.csr_array:
    """The likes of these rows; the other rows are empty."""
    n_liked = np.diff(likes.indptr)
    kept = np.zeros(likes.shape[0], dtype=bool)
    kept[users] = True
    pairs = np.repeat(kept, n_liked)
    indptr = np.concatenate([[0], np.cumsum(np.where(kept, n_liked, 0), dtype=np.int64)])
    return sp.csr_array((likes.data[pairs], likes.indices[pairs], indptr), shape=likes.shape)


def join(
    known: sp.csr_array, ids: dict[str, np.ndarray], new: Any, *, stacklevel: int
) -> tuple[sp.csr_array, sp.csr_array, dict[str, np.ndarray]]:
    """Give old and new likes the same rows and columns: old ones, then new ones in their order.

    Parameters
    ----------
    known : scipy.sparse.csr_array, (n_users, n_items), float32
        The old likes.
    ids : dict of str to numpy.ndarray
        Their "user_ids" and "item_ids", or nothing.
    new : Interactions, or scipy.sparse matrix or array
        Without ids its rows and columns are those of ``known``, followed by new ones.

    Returns
    -------
    all, new : scipy.sparse.csr_array, (n_users', n_items'), float32
        All likes, and the new ones. A pair that is both has its new weight.
    ids : dict of str to numpy.ndarray
        Of these rows and columns.

    Raises
    ------
    TypeError, DataError
        If ``new`` cannot be used.
    """
    name = "new_interactions"
    matrix = check_matrix(
        name, new.matrix if isinstance(new, Interactions) else new, stacklevel=stacklevel
    )
    if matrix.nnz == 0:
        raise DataError(f"{name} has no interactions, so there is nothing to learn")
    if isinstance(new, Interactions):
        if not ids:
            raise DataError(
                f"{name} has ids, but the likes of the last fit had none; give {name}.matrix, with "
                "the rows and columns of that fit first and new ones behind them"
            )
        pairs = matrix.tocoo()
        rows, user_ids = _joined_ids("user", ids["user_ids"], new.user_ids)
        columns, item_ids = _joined_ids("item", ids["item_ids"], new.item_ids)
        ids = {"user_ids": user_ids, "item_ids": item_ids}
        shape = len(user_ids), len(item_ids)
        matrix = sp.csr_array((pairs.data, (rows[pairs.row], columns[pairs.col])), shape=shape)
    else:
        _check_larger(matrix.shape, known.shape, has_ids=bool(ids))
    old = sp.csr_array((known.data, known.indices, known.indptr), shape=known.shape)
    old.resize(matrix.shape)
    return _overlaid(old, matrix), matrix, ids


def with_ids(likes: sp.csr_array, ids: dict[str, np.ndarray]) -> sp.csr_array | Interactions:
    """Likes as `Trainer.fit` takes them: Interactions if there are ids."""
    return Interactions(likes, ids["user_ids"], ids["item_ids"]) if ids else likes


def aligned(validation: Any, shape: tuple[int, int], ids: dict[str, np.ndarray]) -> Any:
    """Validation data as a matrix of this shape, whose rows and columns have these ids.

    Interactions may have ids in any order, and a matrix may be smaller: then the last rows and
    columns have nothing to validate on. Anything else is returned as it is, for `fit` to check.
    """
    if isinstance(validation, Interactions) and ids:
        axes = []
        for axis in AXES:
            rows = IdIndex(axis.removesuffix("_ids"), ids[axis]).find(getattr(validation, axis))
            if (rows < 0).any():
                unknown = getattr(validation, axis)[rows < 0].tolist()
                raise DataError(
                    f"validation.{axis} has {len(unknown)} that no likes are known of, the first "
                    f"{unknown[0]!r}; leave them out"
                )
            axes.append(rows)
        pairs = validation.matrix.tocoo()
        return sp.csr_array((pairs.data, (axes[0][pairs.row], axes[1][pairs.col])), shape=shape)
    if isinstance(validation, Interactions):
        validation = validation.matrix
    if not sp.issparse(validation) or validation.ndim != 2:
        return validation
    if (
        validation.shape == shape
        or validation.shape[0] > shape[0]
        or validation.shape[1] > shape[1]
    ):
        return validation
    padded = sp.csr_array(validation, copy=True)
    padded.resize(shape)
    return padded


def choose_users(
    likes: sp.csr_array, concerned: np.ndarray, replay: float, generator: np.random.Generator
) -> np.ndarray:
    """The rows to train on: those concerned, and others drawn at random.

    So many others are drawn that theirs are the share ``replay`` of the likes of all others.
    """
    n_liked = np.diff(likes.indptr).astype(np.int64)
    is_other = n_liked > 0
    is_other[concerned] = False
    # Words and a sort, because NumPy may change how its generators shuffle.
    others = np.flatnonzero(is_other)
    order = np.argsort(generator.bit_generator.random_raw(len(others)), kind="stable")
    others = others[order]
    before = np.cumsum(n_liked[others]) - n_liked[others]
    drawn = others[before < replay * n_liked[others].sum()]
    return np.union1d(concerned, drawn)


def without(
    likes: sp.csr_array, users: np.ndarray, items: np.ndarray, n_epochs: int
) -> tuple[sp.csr_array, Forgotten]:
    """The likes of the users and items that are kept, two arrays of bools, and what is not there.

    Raises DataError if no like would be left.
    """
    left = sp.csr_array(likes[np.flatnonzero(users)][:, np.flatnonzero(items)])
    if left.nnz == 0:
        raise DataError(
            f"without these {np.count_nonzero(~users)} users and {np.count_nonzero(~items)} items "
            "no like is left to learn from; forget fewer, or begin anew with fit"
        )
    pairs = likes.tocoo()
    gone = ~(users[pairs.row] & items[pairs.col])
    touched = [
        np.count_nonzero(np.bincount(rows[gone], minlength=len(kept))[kept])
        for rows, kept in ((pairs.row, users), (pairs.col, items))
    ]
    n_users, n_items = (int(np.count_nonzero(~kept)) for kept in (users, items))
    n_likes = int(np.count_nonzero(gone))
    return left, Forgotten(n_users, n_items, n_likes, int(touched[0]), int(touched[1]), n_epochs)


def rows_named(what: str, ids: np.ndarray | None, wanted: Any, n_rows: int) -> np.ndarray:
    """Row numbers of users or items that are named by ids, or by row number without ids."""
    name = f"{what}s"
    given = [wanted] if np.ndim(wanted) == 0 else wanted
    array = id_array(name, given)
    if not array.size:
        return np.zeros(0, dtype=np.int64)
    rows = IdIndex(what, ids, n_rows).find(array)
    if (rows < 0).any():
        unknown = array[rows < 0].tolist()
        kind = "ids of the last fit" if ids is not None else f"row numbers below {n_rows}"
        raise ValueError(
            f"{name} has {len(unknown)} unknown ids, the first {unknown[0]!r}; they must be {kind}"
        )
    return np.unique(rows)


def _joined_ids(what: str, known: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of each of ``ids``, and all ids: the known ones, then those that are new."""
    rows = IdIndex(what, known).find(ids)
    is_new = rows < 0
    rows[is_new] = len(known) + np.arange(np.count_nonzero(is_new))
    added = ids[is_new]
    if added.dtype != known.dtype:
        if known.dtype.kind == "i":
            try:
                added = np.array([int(text) for text in added.tolist()], dtype=np.int64)
            except ValueError:
                raise DataError(
                    f"new_interactions.{what}_ids has new ids that are no integers, as those of "
                    f"the last fit are, the first {added[0]!r}; name all {what}s in one way"
                ) from None
        else:
            added = added.astype(str).astype(object)
    return rows, np.concatenate([known, added])


def _check_larger(shape: tuple[int, int], known: tuple[int, int], *, has_ids: bool) -> None:
    if shape[0] < known[0] or shape[1] < known[1]:
        raise DataError(
            f"new_interactions must have at least the {known[0]} users and {known[1]} items of the "
            f"last fit, in its order, got {shape}; give Interactions, which name theirs, or pad "
            "the matrix"
        )
    if has_ids and shape != known:
        raise DataError(
            f"new_interactions has {shape[0]} users and {shape[1]} items, the last fit had "
            f"{known[0]} and {known[1]} with ids; give Interactions, so that the new ones have "
            "ids, too"
        )


def _overlaid(old: sp.csr_array, new: sp.csr_array) -> sp.csr_array:
    """All pairs of two canonical matrices of one shape; a pair of both has the value of ``new``."""
    numbers, added = _numbers(old), _numbers(new)
    at = np.searchsorted(numbers, added)  # where a pair is, or would be inserted
    is_new = at == len(numbers)
    is_new[~is_new] = numbers[at[~is_new]] != added[~is_new]
    values = old.data.copy()
    values[at[~is_new]] = new.data[~is_new]
    values = np.insert(values, at[is_new], new.data[is_new])
    columns = np.insert(old.indices, at[is_new], new.indices[is_new])
    n_added = np.bincount(added[is_new] // old.shape[1], minlength=old.shape[0])
    indptr = old.indptr + np.concatenate([[0], np.cumsum(n_added)])
    return sp.csr_array((values, columns, indptr), shape=old.shape)


def _numbers(matrix: sp.csr_array) -> np.ndarray:
    """One number for each pair of a canonical matrix: ascending, int64."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    numbers: np.ndarray = rows * matrix.shape[1] + matrix.indices
    return numbers
