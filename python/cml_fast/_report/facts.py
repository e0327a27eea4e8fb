"""What all sections of a report are made of: the data, checked, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._evaluation.held_out import HeldOut, Matrix, align
from .._evaluation.plan import check_plan
from .._evaluation.rankings import ways_to_rank
from .._evaluation.run import measure_plan
from .._threads import blas_threads, thread_count
from ..baselines import MostPopular, RandomItems
from ..data._alignment import interaction_rows
from ..data.interactions import Interactions
from ..errors import DataError
from ..evaluation import Recommender
from ..metrics.result import Evaluation
from ..model import Model
from .map_page import MapPage

METRICS = ("recall", "ndcg", "hit_rate")
MODEL, POPULAR, RANDOM = "this model", "most popular items", "random items"
# Recommended items that are held at a time.
_BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Facts:
    """The data and the model of a report.

    Attributes
    ----------
    model : Model
    train, test : Interactions
        As they were given, for what they say of themselves; ``test`` may be None.
    data : HeldOut
        The same, aligned with the model; without a test set nothing is held out.
    recommenders : dict of str to Recommender
        The model and what it is compared with.
    evaluations : dict of str to Evaluation
        Of each of these; empty without a test set.
    ks : list of int
        Lengths of the rankings, ascending. Charts are of the first.
    item_names, user_groups : list of str or None
        By row.
    map_page : MapPage or None
    n_threads : int or None
    """

    model: Model
    train: Interactions
    test: Interactions | None
    data: HeldOut
    recommenders: dict[str, Recommender]
    evaluations: dict[str, Evaluation]
    ks: list[int]
    item_names: list[str | None]
    user_groups: list[str | None]
    map_page: MapPage | None
    n_threads: int | None

    @property
    def user_counts(self) -> np.ndarray:
        """The likes of each user in training, (n_users,), int64."""
        assert self.data.user_counts is not None
        return self.data.user_counts

    @property
    def item_counts(self) -> np.ndarray:
        """The likes of each item in training, (n_items,), int64."""
        assert self.data.item_counts is not None
        return self.data.item_counts

    @property
    def likes(self) -> sp.csr_array:
        """The likes of training, (n_users, n_items)."""
        assert self.data.likes is not None
        return self.data.likes

    @cached_property
    def users(self) -> np.ndarray:
        """The users whom the report is about: with held-out items, or with likes in training."""
        if self.evaluations:
            return self.evaluations[MODEL].users
        return np.flatnonzero(self.user_counts)

    def item_name(self, row: int) -> str:
        """Return the name of an item, or its id."""
        name = self.item_names[row]
        return str(self.model.item_ids[row]) if name is None else name

    def rankings(self, name: str, n: int) -> Iterator[np.ndarray]:
        """Yield the first n items of a recommender for blocks of `users`: (m, n), int64."""
        rank, _ = ways_to_rank(self.recommenders[name], self.data, self.n_threads)
        n = min(n, len(self.item_counts))
        step = max(1, _BLOCK_ENTRIES // n)
        with blas_threads(thread_count(self.n_threads)):
            for start in range(0, len(self.users), step):
                yield rank(self.users[start : start + step], n)


def gather(
    model: Model,
    train: Matrix,
    test: Matrix | None,
    exclude: list[Matrix],
    ks: list[int],
    *,
    stacklevel: int,
    **known: Any,
) -> Facts:
    """Align the data with the model, and measure the model and what it is compared with."""
    space = (np.arange(len(model.user_ids)), model.user_ids, model.item_ids)
    likes = interaction_rows("train", train, *space, stacklevel=stacklevel + 1)
    if not likes.nnz:
        raise DataError("train has no interactions: there is nothing to report")
    if test is None:
        held_out = None
        data = _nothing_held_out(likes, exclude, space, stacklevel + 1)
    else:
        held_out = interaction_rows("test", test, *space, stacklevel=stacklevel + 1)
        data = align([model], held_out, [likes, *exclude], likes, stacklevel=stacklevel + 1)
    recommenders: dict[str, Recommender] = {
        MODEL: model,
        POPULAR: MostPopular(likes),
        RANDOM: RandomItems(likes),
    }
    evaluations = {}
    if test is not None:
        plan = check_plan(ks, METRICS, "include", "include", True)
        data = data.without_cold(plan)
        for name, recommender in recommenders.items():
            evaluations[name] = measure_plan(
                recommender, data, plan, n_threads=known.get("n_threads")
            )
    described = [
        _described(given, checked, model)
        for given, checked in ((train, likes), (test, held_out))
        if given is not None and checked is not None
    ]
    parts = described[0], described[1] if held_out is not None else None
    return Facts(model, *parts, data, recommenders, evaluations, ks, **known)


def _nothing_held_out(
    likes: sp.csr_array, exclude: list[Matrix], space: tuple[np.ndarray, ...], stacklevel: int
) -> HeldOut:
    """Return the likes of training alone, as `align` does with a test set."""
    mask = likes
    for matrix in exclude:
        mask = mask + interaction_rows("exclude", matrix, *space, stacklevel=stacklevel + 1)
    user_counts = np.diff(likes.indptr).astype(np.int64)
    item_counts = np.bincount(likes.indices, minlength=likes.shape[1])
    nothing = sp.csr_array(likes.shape, dtype=np.float32)
    return HeldOut(nothing, mask, likes, user_counts, item_counts)


def _described(given: Matrix, checked: sp.csr_array, model: Model) -> Interactions:
    """Return interactions with all that is known of them, such as when they happened."""
    if isinstance(given, Interactions):
        return given
    return Interactions(checked, model.user_ids, model.item_ids)
