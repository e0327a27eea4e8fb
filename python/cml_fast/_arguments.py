"""What a trainer is given, checked: its hyper-parameters, data and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from . import _core
from ._backend import Settings, choose_device, default_threads, usable_cores
from ._checks import check_features, check_int, check_matrix, check_real
from ._feature_step import has_features, has_likes
from ._ids import IdIndex
from .data import Interactions
from .errors import DataError

# Pairs that share negatives, where the loss lets them.
TILE_SIZE = _core.MAX_TILE_SIZE
# What an argument of Trainer that is None stands for. Each loss has its own.
DEFAULTS: dict[str, dict[str, Any]] = {
    "warp": {
        "n_negatives": 20,
        "margin": 1.25,
        "optimizer": "adagrad",
        "averaging": 0.0,
        "feature_weight": 30.0,
    },
    "softmax": {
        "n_negatives": 256,
        "margin": 1.0,
        "optimizer": "rowwise_adagrad",
        "averaging": 0.8,
        "feature_weight": 5.0,
    },
    "contrastive": {
        "n_negatives": 256,
        "margin": 0.8,
        "optimizer": "rowwise_adagrad",
        "averaging": 0.8,
        "feature_weight": 5.0,
    },
}
OPTIMIZERS = ("adagrad", "rowwise_adagrad")
# Of the softmax, where none is named: see _temperature.py. The first where nothing can be tried.
TEMPERATURES = (0.21, 0.3, 0.15)


def chosen(trainer: Any, name: str) -> Any:
    """The argument of a trainer, or what its loss has in place of None."""
    value = getattr(trainer, name)
    return DEFAULTS[trainer.loss][name] if value is None else value


@dataclass(frozen=True)
class Arguments:
    """Checked arguments; the seed of the settings is yet to be drawn."""

    likes: sp.csr_array
    ids: dict[str, np.ndarray]  # external ids of users and items, if train has any
    validation: sp.csr_array | None
    features: dict[str, sp.csr_array | np.ndarray]  # of "users" and "items", where there are any
    callbacks: list[Callable[..., bool | None]]
    device: str
    reason: str
    settings: Settings


def check_arguments(
    trainer: Any,
    train: Any,
    validation: Any,
    callbacks: Any,
    user_features: Any,
    item_features: Any,
) -> Arguments:
    """Check all that ``fit`` is given, but for what a compiled job checks. Warns its caller."""
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of functions, got {callbacks!r}")
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callable, got {callback!r}")
    matrix = train.matrix if isinstance(train, Interactions) else train
    likes = check_matrix("train", matrix, stacklevel=4)
    if likes.nnz == 0:
        raise DataError("train has no interactions, so there is nothing to learn")
    ids = {}
    if isinstance(train, Interactions):
        ids["user_ids"] = IdIndex("train.user", train.user_ids, likes.shape[0]).array
        ids["item_ids"] = IdIndex("train.item", train.item_ids, likes.shape[1]).array
    device, reason = choose_device(trainer.device)
    settings = check_settings(trainer, likes.shape)
    held_out = _check_validation(validation, train, likes.shape)
    features = {}
    for side, given, n in zip(
        ("users", "items"), (user_features, item_features), likes.shape, strict=True
    ):
        if given is not None:
            name = f"{side[:-1]}_features"
            features[side] = check_features(name, given, n, ids.get(f"{side[:-1]}_ids"))
            if not (has_features(features[side]) & has_likes(likes, side)).any():
                raise DataError(
                    f"{name} must describe some of the {side} that have likes in train, got "
                    f"features of others only; put the rows in the order of train's {side}"
                )
    return Arguments(likes, ids, held_out, features, callbacks, device, reason, settings)


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


def check_settings(trainer: Any, shape: tuple[int, int]) -> Settings:
    """Check the hyper-parameters of a trainer, for data of this shape."""
    check_int("n_epochs", trainer.n_epochs, 1)
    if trainer.patience is not None:
        check_int("patience", trainer.patience, 1)
    if trainer.validation_users is not None:
        check_int("validation_users", trainer.validation_users, 1)
    for name in ("warm_start", "verbose"):
        value = getattr(trainer, name)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    if trainer.update not in ("async", "sync"):
        raise ValueError(f"update must be 'async' or 'sync', got {trainer.update!r}")
    if trainer.loss not in DEFAULTS:
        raise ValueError(f"loss must be one of {tuple(DEFAULTS)}, got {trainer.loss!r}")
    optimizer = chosen(trainer, "optimizer")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be None or one of {OPTIMIZERS}, got {optimizer!r}")
    n_negatives = check_int("n_negatives", chosen(trainer, "n_negatives"), 1, _core.MAX_NEGATIVES)
    sync = trainer.update == "sync"
    batch_size = check_int("batch_size", trainer.batch_size, 1, _core.MAX_BATCH_SIZE)
    return Settings(
        n_dims=check_int("n_dims", trainer.n_dims, 1, _core.MAX_DIMS),
        n_negatives=n_negatives,
        margin=check_real("margin", chosen(trainer, "margin"), 0, strict=True),
        learning_rate=check_real("learning_rate", trainer.learning_rate, 0, strict=True),
        max_norm=_check_max_norm(trainer.max_norm),
        n_threads=(usable_cores() if sync else default_threads(*shape))
        if trainer.n_threads is None
        else check_int("n_threads", trainer.n_threads, 1, 4096),
        seed=0,
        batch_size=batch_size if sync else 0,
        per_row=optimizer == "rowwise_adagrad",
        loss=trainer.loss,
        tile_size=TILE_SIZE,
        temperature=TEMPERATURES[0]  # until one is chosen, when all has been checked
        if trainer.temperature is None
        else _check_between("temperature", trainer.temperature, 1e-9, 1e9),
        correction=shape[1] / n_negatives,
        negative_weight=_check_between("negative_weight", trainer.negative_weight, 1e-9, 1e9)
        / n_negatives,
        averaging=_check_averaging(chosen(trainer, "averaging")),
        cov_weight=check_real("cov_weight", trainer.cov_weight, 0),
        cov_interval=check_int("cov_interval", trainer.cov_interval, 1),
        n_hidden=check_int("n_hidden", trainer.n_hidden, 1, 2**16),
        feature_weight=check_real("feature_weight", chosen(trainer, "feature_weight"), 0),
        feature_learning_rate=check_real(
            "feature_learning_rate", trainer.feature_learning_rate, 0, strict=True
        ),
        feature_interval=check_int("feature_interval", trainer.feature_interval, 1),
        feature_warm_up=check_int("feature_warm_up", trainer.feature_warm_up, 0),
    )


def _check_between(name: str, value: Any, low: float, high: float) -> float:
    number = check_real(name, value, 0, strict=True)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return number


def _check_averaging(value: Any) -> float:
    averaging = check_real("averaging", value, 0)
    if averaging >= 1:
        raise ValueError(f"averaging must be at least 0 and below 1, got {value!r}")
    return averaging


def _check_max_norm(value: Any) -> float:
    # Squared distances in float32 neither vanish nor overflow between these.
    return _check_between("max_norm", value, 1e-6, 1e6)


def _check_validation(validation: Any, train: Any, shape: tuple[int, int]) -> sp.csr_array | None:
    if validation is None:
        return None
    if isinstance(validation, Interactions):
        if isinstance(train, Interactions) and not (
            np.array_equal(validation.user_ids, train.user_ids)
            and np.array_equal(validation.item_ids, train.item_ids)
        ):
            raise DataError(
                "validation must have the ids of train, row by row; load it with "
                "user_ids=train.user_ids and item_ids=train.item_ids"
            )
        validation = validation.matrix
    matrix = check_matrix("validation", validation, shape, stacklevel=5)
    if matrix.nnz == 0:
        raise DataError("validation has no interactions; leave it out or give some")
    return matrix
