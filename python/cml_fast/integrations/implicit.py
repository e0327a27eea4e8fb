"""The interface of the package implicit, so that a script changes one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from zipfile import BadZipFile

import numpy as np
import scipy.sparse as sp

from .._training.reports import EpochReport
from .._validation.scalars import check_int
from ..errors import ModelError
from ..model import Model
from ..trainer import Trainer
from ._implicit import allowed_rows, answer, ids_in, liked_rows, similar

FILE_TYPE = ".npz"  # NumPy adds it to a name without it


class CollaborativeMetricLearning:
    """Collaborative Metric Learning with the methods and arguments of implicit's models.

    Parameters
    ----------
    factors, iterations, num_threads, random_state
        ``n_dims``, ``n_epochs``, ``n_threads`` (0: all) and ``random_state`` of `Trainer`.
    **hyperparameters
        Others of `Trainer`, under their names there.

    Notes
    -----
    Ids are row numbers, returned as int32. A score is 1 / (1 + distance), so that larger is better.
    Where one of several users has fewer than N items left, the id is -1 and the score 0.

    Examples
    --------
    >>> from cml_fast.data import synthetic
    >>> from cml_fast.integrations.implicit import CollaborativeMetricLearning
    >>> likes = synthetic(200, 100, 3000).interactions.matrix
    >>> model = CollaborativeMetricLearning(factors=16, iterations=3, temperature=0.3)
    >>> model.fit(likes, show_progress=False)
    >>> ids, scores = model.recommend([0, 1], likes[[0, 1]], N=5)
    >>> ids.shape, ids.dtype
    ((2, 5), dtype('int32'))
    """

    def __init__(
        self,
        factors: int = 100,
        iterations: int = 40,
        num_threads: int = 0,
        random_state: Any = 0,
        **hyperparameters: Any,
    ) -> None:
        self.trainer = Trainer(
            n_dims=factors,
            n_epochs=iterations,
            n_threads=num_threads or None,
            random_state=random_state,
            **hyperparameters,
        )
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """What `fit` has learned, for all that implicit's interface has no name for."""
        if self._model is None:
            raise ValueError("the model is not fitted: call fit(user_items) first")
        return self._model

    @property
    def user_factors(self) -> np.ndarray:
        """The vectors of the users: (n_users, factors), float32; see `item_factors`."""
        return self.model.user_vectors

    @property
    def item_factors(self) -> np.ndarray:
        """The vectors of the items: (n_items, factors), float32; one more for popularity."""
        return self.model.item_vectors

    def fit(
        self,
        user_items: sp.sparray | sp.spmatrix,
        show_progress: bool = True,
        callback: Callable[[int, float, float], object] | None = None,
    ) -> None:
        """Learn from a matrix of users x items; ``callback(epoch, seconds, loss)`` after epochs."""

        def report(trainer: Trainer, epoch: EpochReport) -> None:
            if callback is not None:
                callback(epoch.epoch, epoch.seconds, epoch.loss)

        self.trainer.set_params(verbose=bool(show_progress))
        self._model = self.trainer.fit(user_items, callbacks=[report]).model_

    def recommend(
        self,
        userid: Any,
        user_items: sp.sparray | sp.spmatrix | None = None,
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: Any = None,
        recalculate_user: bool = False,
        items: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Recommend N items; ``recalculate_user`` places users, new ones too, by ``user_items``."""
        check_int("N", N, 1)
        n_items = len(self.item_factors)
        allowed = allowed_rows("items", items, filter_items, n_items)
        liked = None
        if filter_already_liked_items or recalculate_user:
            liked = liked_rows(user_items, len(np.atleast_1d(userid)), n_items)
        if recalculate_user:
            vectors = self.model.fold_in_users(liked)
        else:
            vectors = self.user_factors[ids_in("userid", userid, len(self.user_factors))]
        exclude = liked if filter_already_liked_items else None

        def find(n: int) -> tuple[np.ndarray, np.ndarray]:
            return self.model.recommend_from_vectors(vectors, n, exclude, items=allowed)

        return answer(userid, N, allowed, find)

    def similar_items(
        self,
        itemid: Any,
        N: int = 10,
        recalculate_item: bool = False,
        item_users: object = None,
        filter_items: Any = None,
        items: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the N items nearest to each item, the item itself first."""
        if recalculate_item:
            raise NotImplementedError("recalculate_item is not supported; leave it False")
        check_int("N", N, 1)
        allowed = allowed_rows("items", items, filter_items, len(self.item_factors))
        ids = ids_in("itemid", itemid, len(self.item_factors))
        search = self.model.similar_items
        return answer(itemid, N, allowed, lambda n: similar(ids, n, allowed, search))

    def similar_users(
        self, userid: Any, N: int = 10, filter_users: Any = None, users: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the N users nearest to each user, the user itself first."""
        check_int("N", N, 1)
        allowed = allowed_rows("users", users, filter_users, len(self.user_factors))
        ids = ids_in("userid", userid, len(self.user_factors))
        search = self.model.similar_users
        return answer(userid, N, allowed, lambda n: similar(ids, n, allowed, search))

    def save(self, fileobj_or_path: Any) -> None:
        """Save to a file, an ``.npz`` as implicit's; `Model.save` checks more when it loads."""
        text = json.dumps(self.model.hyperparameters)
        np.savez(
            fileobj_or_path,
            user_factors=self.user_factors,
            item_factors=self.item_factors,
            hyperparameters=np.array(text),
        )

    @classmethod
    def load(cls, fileobj_or_path: Any) -> CollaborativeMetricLearning:
        """Load what `save` wrote, by the same name."""
        if isinstance(fileobj_or_path, str) and not fileobj_or_path.endswith(FILE_TYPE):
            fileobj_or_path += FILE_TYPE
        try:
            with np.load(fileobj_or_path, allow_pickle=False) as file:
                settings = json.loads(str(file["hyperparameters"]))
                loaded = cls()
                loaded.trainer.set_params(**settings)
                loaded._model = Model(
                    file["user_factors"], file["item_factors"], hyperparameters=settings
                )
        except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{fileobj_or_path} is damaged, or not written by save") from error
        return loaded
