"""What ``fit`` is given, checked: data, features and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.devices import choose_device
from .._compute.settings import Settings
from .._validation.matrices import check_matrix
from ..data import Dataset, Interactions
from ..data._ids import IdIndex
from ..data.features import check_features
from ..errors import DataError
from .feature_step import has_features, has_likes
from .hyperparameters import (
    PAIRS_PER_PART,
    check_no_bias,
    check_settings,
    fewer_negatives,
    fewer_pairs,
    negatives_of_update,
)
from .likes import Likes, MappedLikes, item_counts, map_likes
from .memory import check_fits
from .update import Update, only_users
from .weighting import choose_weighting, weigh


@dataclass(frozen=True)
class FitInputs:
    """Checked arguments; the seed of the settings is yet to be drawn."""

    given: Likes  # with the weights that they were given
    likes: Likes  # with the weights for training, whose mean is 1
    weighting: str  # how these were made from the given ones
    ids: dict[str, np.ndarray]  # external ids of users and items, if train has any
    validation: sp.csr_array | None
    features: dict[str, sp.csr_array | np.ndarray]  # of "users" and "items", where there are any
    callbacks: list[Callable[..., bool | None]]
    device: str
    reason: str
    settings: Settings
    update: Update | None = None  # what is trained on; None: everything, as in a fit

    @cached_property
    def trained(self) -> Likes:
        """The likes that are trained on."""
        if self.update is None:
            return self.likes
        assert not isinstance(self.likes, MappedLikes)
        return only_users(self.likes, self.update.users)

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        """What `Model` keeps of the likes, by its names: see there."""
        user_counts = np.diff(self.likes.indptr).astype(np.int64)
        placed = np.zeros(len(user_counts), dtype=bool)
        if "users" in self.features:
            placed = has_features(self.features["users"]) & (user_counts == 0)
        return {
            "user_counts": user_counts,
            "item_counts": item_counts(self.likes),
            "placed_users": placed,
        }


def check_fit_inputs(
    trainer: Any,
    train: Any,
    validation: Any,
    callbacks: Any,
    user_features: Any,
    item_features: Any,
    *,
    weighting: str | None = None,
    update: Update | None = None,
    has_users: bool = True,
    stacklevel: int = 4,
) -> FitInputs:
    """Check what ``fit`` is given, except for what a compiled job checks itself.

    ``weighting`` is that of an earlier fit which this one goes on from. ``update`` is what is
    trained on, if not all of ``train``. Without ``has_users`` the vectors of users are in the
    memory of other processes, and it is not checked whether they fit in that of this one.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of functions, got {callbacks!r}")
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callable, got {callback!r}")
    as_given: Likes
    likes: Likes
    if isinstance(train, Dataset):
        as_given = likes = map_likes(train)
    else:
        matrix = train.matrix if isinstance(train, Interactions) else train
        # Compiled code reads it while callbacks and other threads run, so this is our own.
        as_given = likes = check_matrix("train", matrix, own=True, stacklevel=stacklevel)
    if likes.nnz == 0:
        raise DataError("train has no interactions, so there is nothing to learn")
    ids = {}
    if isinstance(train, Interactions | Dataset):
        ids["user_ids"] = IdIndex("train.user", train.user_ids, likes.shape[0]).array
        ids["item_ids"] = IdIndex("train.item", train.item_ids, likes.shape[1]).array
    device, reason = choose_device(trainer.device, trainer.precision)
    settings = check_settings(trainer.get_params(), likes.shape, likes.nnz)
    if has_users:
        check_fits(settings, likes.shape, validated=validation is not None)
    if isinstance(likes, MappedLikes) and settings.pairs_per_part == 0:
        settings = replace(settings, pairs_per_part=PAIRS_PER_PART)
    weighting = weighting or trainer.weighting or choose_weighting(likes, stacklevel=stacklevel)
    likes = weigh(likes, weighting)
    held_out = _check_validation(validation, train, likes.shape)
    features = {}
    for entity, given, n in zip(
        ("users", "items"), (user_features, item_features), likes.shape, strict=True
    ):
        if given is not None:
            name = f"{entity[:-1]}_features"
            features[entity] = check_features(name, given, n, ids.get(f"{entity[:-1]}_ids"))
            if not (has_features(features[entity]) & has_likes(likes, entity)).any():
                raise DataError(
                    f"{name} must describe some of the {entity} that have likes in train, got "
                    f"features of others only; put the rows in the order of train's {entity}"
                )
    if features:
        check_no_bias(trainer.get_params())
    # However many updates there have been, the next one learns as much from new likes. With
    # features a rate that falls is worse.
    if features or update is not None:
        settings = settings.steady()
    if update is not None and trainer.n_negatives is None:
        settings = fewer_negatives(settings, negatives_of_update(likes.shape[1]))
    inputs = FitInputs(
        as_given,
        likes,
        weighting,
        ids,
        held_out,
        features,
        callbacks,
        device,
        reason,
        settings,
        update,
    )
    if update is not None and trainer.batch_size is None:
        inputs = replace(inputs, settings=fewer_pairs(settings, inputs.trained.nnz))
    return inputs


def sample_of_users(matrix: sp.csr_array, limit: int | None) -> sp.csr_array:
    """Keep the rows of so many users, always the same ones."""
    users = np.flatnonzero(np.diff(matrix.indptr))
    if limit is None or len(users) <= limit:
        return matrix
    chosen = np.random.default_rng(0).choice(users, limit, replace=False)
    keep = np.zeros(matrix.shape[0], dtype=np.float32)
    keep[chosen] = 1
    diagonal = sp.dia_array((keep[None], [0]), shape=(len(keep),) * 2)
    sample = sp.csr_array(diagonal @ matrix)
    sample.eliminate_zeros()
    return sample


def _check_validation(validation: Any, train: Any, shape: tuple[int, int]) -> sp.csr_array | None:
    if validation is None:
        return None
    if isinstance(validation, Interactions):
        if isinstance(train, Interactions | Dataset) and not (
            np.array_equal(validation.user_ids, train.user_ids)
            and np.array_equal(validation.item_ids, train.item_ids)
        ):
            raise DataError(
                "validation must have the ids of train, row by row; load it with "
                "user_ids=train.user_ids and item_ids=train.item_ids"
            )
        validation = validation.matrix
    matrix = check_matrix("validation", validation, shape, own=True, stacklevel=5)
    if matrix.nnz == 0:
        raise DataError("validation has no interactions; leave it out or give some")
    return matrix
