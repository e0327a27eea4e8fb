"""The held-out items, the items that users had before, and what is known of training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ..data._alignment import interaction_rows
from ..data.interactions import Interactions
from ..errors import DataError
from ..metrics.registry import Known
from ..metrics.result import Cold
from .plan import Plan

Matrix: TypeAlias = sp.sparray | sp.spmatrix | Interactions


@dataclass(frozen=True)
class HeldOut:
    """Matrices of the same users and items, whose stored values are all 1, and likes of training.

    ``relevant`` are the held-out items, ``exclude`` those that are in no ranking. ``likes`` and the
    numbers of likes of each user and item in training are None where they are not known.
    """

    relevant: sp.csr_array
    exclude: sp.csr_array
    likes: sp.csr_array | None
    user_counts: np.ndarray | None
    item_counts: np.ndarray | None
    cold: Cold | None = None

    def without_cold(self, plan: Plan) -> HeldOut:
        """Find the users and items of test without likes in training, and leave them out if asked.

        Raises
        ------
        ValueError
            If they are to be left out and the likes of training are not known.
        DataError
            If nothing is left.
        """
        left_out = {"users": plan.cold_users == "exclude", "items": plan.cold_items == "exclude"}
        if self.user_counts is None or self.item_counts is None:
            for what, out in left_out.items():
                if out:
                    raise ValueError(
                        f"cold_{what}='exclude' needs the likes of training: give train="
                    )
            return self
        owners = np.repeat(np.arange(self.relevant.shape[0]), np.diff(self.relevant.indptr))
        user_is_cold = self.user_counts[owners] == 0
        item_is_cold = self.item_counts[self.relevant.indices] == 0
        cold = Cold(
            np.unique(owners[user_is_cold]),
            np.unique(self.relevant.indices[item_is_cold]).astype(np.int64),
            left_out["users"],
            left_out["items"],
        )
        out = (user_is_cold & left_out["users"]) | (item_is_cold & left_out["items"])
        if out.all():
            raise DataError(
                "test has only users or items without likes in training, which "
                "cold_users='exclude' and cold_items='exclude' leave out"
            )
        relevant = self.relevant.copy()
        relevant.data[out] = 0
        relevant.eliminate_zeros()
        return replace(self, relevant=relevant, cold=cold)

    def known(self, model: Any) -> Known:
        """Return what metrics need besides the rankings."""
        own = n_likers = None
        if self.user_counts is not None:
            n_likers = int(np.count_nonzero(self.user_counts))
        if self.likes is not None and self.item_counts is not None:
            n = np.diff(self.likes.indptr)
            total = self.likes @ self.item_counts.astype(np.float64)
            own = np.divide(total, n, where=n > 0, out=np.full(len(n), np.nan))
        return Known(self.item_counts, n_likers, own, getattr(model, "item_vectors", None))


def align(
    models: Sequence[Any],
    test: Matrix,
    exclude: Matrix | Sequence[Matrix] | None,
    train: Matrix | None,
    *,
    stacklevel: int,
) -> HeldOut:
    """Return the matrices, checked: they must be of the users and items of all models.

    ``stacklevel`` is that of warnings: 2 points at the caller.
    """
    left_out = list(exclude) if isinstance(exclude, list | tuple) else [exclude]
    for model in models:
        if not callable(getattr(model, "recommend", None)):
            raise TypeError(f"model must have a method recommend(users, n, exclude), got {model!r}")
    user_ids, item_ids = _space(models, [test, train, *left_out])
    space = (np.arange(len(user_ids)), user_ids, item_ids)
    relevant = interaction_rows("test", test, *space, stacklevel=stacklevel + 1)
    mask = sp.csr_array(relevant.shape, dtype=np.float32)
    for matrix in left_out:
        if matrix is not None:
            mask = mask + interaction_rows("exclude", matrix, *space, stacklevel=stacklevel + 1)
    likes = mask if any(matrix is not None for matrix in left_out) else None
    if train is not None:
        likes = interaction_rows("train", train, *space, stacklevel=stacklevel + 1)
    for matrix in (relevant, mask, likes):
        if matrix is not None:
            matrix.data = np.ones_like(matrix.data)  # only the positions of the entries matter
    overlap = relevant.multiply(mask).nnz
    if overlap:
        warnings.warn(
            f"{overlap} test items are also excluded and count as missed", stacklevel=stacklevel
        )
    if relevant.nnz == 0:
        raise DataError("test has no interactions: there is nothing to evaluate")
    user_counts = item_counts = None
    if likes is not None:
        user_counts = np.diff(likes.indptr).astype(np.int64)
        item_counts = np.bincount(likes.indices, minlength=likes.shape[1])
    return HeldOut(relevant, mask, likes, user_counts, item_counts)


def _space(models: Sequence[Any], matrices: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the users and items: those of a model, or of Interactions, or numbers."""
    found = []
    for what, axis in (("user_ids", 0), ("item_ids", 1)):
        known = [getattr(model, what) for model in models if getattr(model, what, None) is not None]
        named = [getattr(matrix, what) for matrix in matrices if isinstance(matrix, Interactions)]
        if known or named:
            ids = (known or named)[0]
        else:
            shape = getattr(matrices[0], "shape", (0, 0))  # what is no matrix is refused later
            ids = np.arange(shape[axis] if len(shape) == 2 else 0, dtype=np.int64)
        for other in known[1:]:
            is_number = [array.dtype == np.int64 for array in (other, ids)]
            if is_number[0] != is_number[1] or not np.array_equal(other, ids):
                raise DataError(
                    f"the models must have the same {what}, row by row: make all of them from the "
                    "same Interactions, or all from matrices"
                )
        found.append(ids)
    return found[0], found[1]
