"""The trainer: epochs over the fused kernels, watched by validation, callbacks and a user."""

from __future__ import annotations

import logging
import math
import numbers
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from tqdm import tqdm

from . import _core
from ._backend import (
    Settings,
    Tables,
    choose_device,
    default_threads,
    instruction_set,
    make_job,
)
from ._checks import check_int, check_matrix, check_random_state, check_real
from ._epoch import EpochReport, run_epoch
from ._estimator import Estimator
from ._ids import IdIndex
from .data import Interactions
from .errors import DataError
from .evaluation import evaluate
from .model import Model

logger = logging.getLogger("cml_fast")


# Called after every epoch, with ``trainer.model_`` up to date; a true answer ends the training.
Callback = Callable[["Trainer", EpochReport], "bool | None"]


class Trainer(Estimator):
    """Collaborative Metric Learning (Hsieh et al., WWW 2017) on CPU or CUDA.

    Follows scikit-learn's conventions: hyper-parameters are stored as given and checked in
    :meth:`fit`; learned attributes end with an underscore.

    Parameters
    ----------
    n_dims : int, 1 to 2048
        Length r of the vectors.
    n_negatives : int, 1 to 1024
        Negative items U drawn for each pair; the one that violates most is used (section 3.5).
    margin : float
        Margin m of the hinge on squared distances (eq. 1). Distances in the ball of radius
        ``max_norm`` reach 2 ``max_norm``, their squares 4 ``max_norm``^2.
    learning_rate : float
        Step size of AdaGrad.
    max_norm : float
        Radius of the ball that holds all vectors (section 3.5).
    n_epochs : int
        Passes over the pairs; with validation data an upper bound.
    device : {"auto", "cpu", "cuda"}
        "auto" takes CUDA where it works and says (``device_reason_``, and on stderr if
        ``verbose``) why it does not; "cuda" raises that reason.
    n_threads : int or None
        CPU threads; None takes all cores. Threads update shared tables without locks (Hogwild),
        so only ``n_threads=1`` repeats a run to the bit.
    random_state : int, numpy Generator or RandomState, or None
        Seeds the first vectors, the order of the pairs and the negatives.
    patience : int or None
        With validation data: stop after this many epochs without a better recall; None never
        stops early. The best epoch is kept either way.
    validation_users : int or None
        Recall is measured on at most this many users, drawn once; None takes all.
    warm_start : bool
        Whether :meth:`fit` goes on from the last fit, AdaGrad state included.
    verbose : bool
        Show the device and a progress bar on stderr.

    Attributes
    ----------
    model_ : Model
        The learned vectors.
    history_ : list of EpochReport
        One for each epoch of the last fit.
    best_epoch_ : int
        The epoch whose vectors ``model_`` holds.
    n_epochs_ : int
        Epochs that the state behind ``model_`` has seen over all fits.
    device_, device_reason_ : str
        Where training ran, and why there.
    """

    def __init__(
        self,
        *,
        n_dims: int = 100,
        n_negatives: int = 20,
        margin: float = 1.25,
        learning_rate: float = 0.1,
        max_norm: float = 1.0,
        n_epochs: int = 30,
        device: str = "auto",
        n_threads: int | None = None,
        random_state: Any = 0,
        patience: int | None = 5,
        validation_users: int | None = 2000,
        warm_start: bool = False,
        verbose: bool = True,
    ) -> None:
        self.n_dims = n_dims
        self.n_negatives = n_negatives
        self.margin = margin
        self.learning_rate = learning_rate
        self.max_norm = max_norm
        self.n_epochs = n_epochs
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.patience = patience
        self.validation_users = validation_users
        self.warm_start = warm_start
        self.verbose = verbose

    # --- training ------------------------------------------------------------------------------

    def fit(
        self,
        train: sp.sparray | sp.spmatrix | Interactions,
        *,
        validation: sp.sparray | sp.spmatrix | Interactions | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> Trainer:
        """Learn from who liked what.

        Parameters
        ----------
        train : scipy.sparse matrix or array (n_users, n_items), or Interactions
            A stored value is a liked pair and its weight, finite and positive; explicit zeros
            are dropped and duplicates added up, each with a warning. Not changed.
        validation : like train, same shape (and ids), optional
            Likes to rank after each epoch, those of ``train`` left out.
        callbacks : iterable of ``callback(trainer, report) -> bool | None``
            Called after each epoch; True ends the training.

        Returns
        -------
        Trainer
            Itself.

        Raises
        ------
        TypeError, ValueError, DataError
            For arguments that cannot be used. Nothing has changed then.
        DeviceUnavailable
            If ``device="cuda"`` cannot be used; the message says why.
        TrainingDiverged
            If a value was not finite. The update was refused, and ``model_`` is the last state.

        After KeyboardInterrupt, which is passed on, ``model_`` is what had been learned so far.
        """
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks must be a list of functions, got {callbacks!r}")
        callbacks = list(callbacks)
        for callback in callbacks:
            if not callable(callback):
                raise TypeError(f"callbacks must be callable, got {callback!r}")
        likes = check_matrix("train", train.matrix if isinstance(train, Interactions) else train)
        if likes.nnz == 0:
            raise DataError("train has no interactions, so there is nothing to learn")
        ids = {}
        if isinstance(train, Interactions):
            ids["user_ids"] = IdIndex("train.user", train.user_ids, likes.shape[0]).array
            ids["item_ids"] = IdIndex("train.item", train.item_ids, likes.shape[1]).array
        device, reason = choose_device(self.device)
        generator = check_random_state(self.random_state)
        settings = self._check_settings(likes.shape, generator)
        held_out = self._check_validation(validation, train, likes.shape)
        state = self._warm_state(likes.shape, settings, device, ids)

        if state is None:
            tables = Tables.random(
                device, likes.shape, settings.n_dims, settings.max_norm, generator
            )
            state = _State(tables, settings.seed, ids)
        settings = replace(settings, seed=state.seed)
        job = make_job(state.tables, likes, settings)  # the last that may refuse an argument

        state.ids = ids or state.ids
        self._state = state
        self.device_, self.device_reason_ = device, reason
        self.history_: list[EpochReport] = []
        self._announce(settings)
        self._run(job, likes, held_out, settings, callbacks)
        return self

    def _run(
        self,
        job: Any,
        likes: sp.csr_array,
        validation: sp.csr_array | None,
        settings: Settings,
        callbacks: list[Callback],
    ) -> None:
        state = self._state
        first_epoch, n_epochs = state.epoch, int(self.n_epochs)
        patience = math.inf if self.patience is None else self.patience
        best: tuple[float, int, dict[str, Any]] | None = None  # recall, epoch, tables
        bar = tqdm(
            total=n_epochs * likes.nnz,
            unit=" pairs",
            unit_scale=True,
            disable=not self.verbose,
            file=sys.stderr,
        )
        try:
            for epoch in range(first_epoch, first_epoch + n_epochs):
                report = run_epoch(job, epoch, likes.nnz, settings, bar.update)
                state.epoch = epoch + 1
                if validation is not None or callbacks:
                    self._publish(epoch)
                if validation is not None:
                    result = evaluate(self.model_, validation, likes, ks=(50,))
                    report = replace(report, recall=result.recall[50])
                self.history_.append(report)
                bar.set_postfix_str(str(report))
                if report.recall is not None and (best is None or report.recall > best[0]):
                    best = (report.recall, epoch, state.tables.copy_state())
                # A list, not any(): every callback is called.
                stops = [callback(self, report) for callback in callbacks]
                if any(stops) or (best is not None and epoch - best[1] >= patience):
                    break
        finally:
            # Also when training is interrupted or diverges: what was learned is usable.
            bar.close()
            if best is not None:
                state.tables.restore(best[2])
                state.epoch = best[1] + 1
            self._publish(max(state.epoch - 1, 0))
            self.n_epochs_ = state.epoch

    def _publish(self, epoch: int) -> None:
        """Make ``model_`` the present state of the tables."""
        users, items = self._state.tables.vectors()
        self.model_ = Model(users, items, **self._state.ids, hyperparameters=self._described())
        self.best_epoch_ = epoch

    def _described(self) -> dict[str, Any]:
        """Hyper-parameters as plain values for the model's record."""
        return {
            name: _plain(value)
            for name, value in self.get_params().items()
            if name not in ("verbose", "warm_start")
        }

    def _announce(self, settings: Settings) -> None:
        where = (
            f"{instruction_set()}, {settings.n_threads} thread(s)"
            if self.device_ == "cpu"
            else _core.build_info()["cuda"]["devices"][0]["name"]
        )
        message = f"training on {self.device_} ({where}); {self.device_reason_}"
        logger.info(message)
        if self.verbose:
            print(f"cml_fast: {message}", file=sys.stderr)

    # --- checks --------------------------------------------------------------------------------

    def _check_settings(self, shape: tuple[int, int], generator: np.random.Generator) -> Settings:
        check_int("n_epochs", self.n_epochs, 1)
        if self.patience is not None:
            check_int("patience", self.patience, 1)
        if self.validation_users is not None:
            check_int("validation_users", self.validation_users, 1)
        for name in ("warm_start", "verbose"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        return Settings(
            n_dims=check_int("n_dims", self.n_dims, 1, _core.MAX_DIMS),
            n_negatives=check_int("n_negatives", self.n_negatives, 1, _core.MAX_NEGATIVES),
            margin=check_real("margin", self.margin, 0, strict=True),
            learning_rate=check_real("learning_rate", self.learning_rate, 0, strict=True),
            max_norm=self._check_max_norm(),
            n_threads=default_threads(*shape)
            if self.n_threads is None
            else check_int("n_threads", self.n_threads, 1, 4096),
            seed=int(generator.integers(2**63)),
        )

    def _check_max_norm(self) -> float:
        max_norm = check_real("max_norm", self.max_norm, 0, strict=True)
        # Squared distances in float32 neither vanish nor overflow between these.
        if not 1e-6 <= max_norm <= 1e6:
            raise ValueError(f"max_norm must be between 1e-6 and 1e6, got {self.max_norm!r}")
        return max_norm

    def _check_validation(
        self, validation: Any, train: Any, shape: tuple[int, int]
    ) -> sp.csr_array | None:
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
        matrix = check_matrix("validation", validation, shape, stacklevel=4)
        if matrix.nnz == 0:
            raise DataError("validation has no interactions; leave it out or give some")
        users = np.flatnonzero(np.diff(matrix.indptr))
        if self.validation_users is not None and len(users) > self.validation_users:
            chosen = np.random.default_rng(0).choice(users, self.validation_users, replace=False)
            keep = np.zeros(shape[0], dtype=np.float32)
            keep[chosen] = 1
            matrix = sp.csr_array(sp.dia_array((keep[None], [0]), shape=(shape[0],) * 2) @ matrix)
            matrix.eliminate_zeros()
        return matrix

    def _warm_state(
        self,
        shape: tuple[int, int],
        settings: Settings,
        device: str,
        ids: dict[str, np.ndarray],
    ) -> _State | None:
        state: _State | None = getattr(self, "_state", None)
        if not self.warm_start or state is None:
            return None
        tables = state.tables
        if (tables.shape, tables.n_dims) != (shape, settings.n_dims):
            raise ValueError(
                f"warm_start=True goes on from tables for {tables.shape} users and items with "
                f"n_dims={tables.n_dims}, got {shape} and n_dims={settings.n_dims}; "
                "set warm_start=False to begin anew"
            )
        if tables.device != device:
            raise ValueError(
                f"warm_start=True goes on from tables on {tables.device}, but the device is now "
                f"{device}; set device={tables.device!r} or warm_start=False"
            )
        # A matrix without ids says nothing of whom its rows are: they are taken to be the same.
        if state.ids and any(not np.array_equal(ids[name], state.ids[name]) for name in ids):
            raise ValueError(
                "warm_start=True goes on with the users and items of the last fit, but the ids of "
                "train differ from its; load train with those user_ids and item_ids, or set "
                "warm_start=False"
            )
        return state


def _plain(value: Any) -> int | float | str | None:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return None if value is None else str(value)


@dataclass
class _State:
    """What a further fit goes on from."""

    tables: Tables
    seed: int
    ids: dict[str, np.ndarray]  # external ids of users and items, if train had any
    epoch: int = 0
