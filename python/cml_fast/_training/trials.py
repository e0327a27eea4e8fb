"""Short trial trainings, by which `temperature` and `retention` choose what is not given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._compute.kernels import launch_granularity
from ..errors import TrainingDiverged
from ..metrics import measure
from .fit_inputs import FitInputs, sample_of_users
from .hyperparameters import fewer_negatives, fewer_pairs
from .likes import MappedLikes, of_users, some_users
from .loop import run_epoch
from .reports import Counters
from .scheduled import ScheduledJob
from .state import TrainingState

N_NEGATIVES = 128  # at most
K = 50
# Of likes that are not in memory, those of as many users as have so many.
MAX_PAIRS = 1 << 22

Begin = Callable[[FitInputs, np.random.Generator], TrainingState]
MakeJob = Callable[[FitInputs, TrainingState], ScheduledJob]


def sampled(inputs: FitInputs, n_pairs: int = MAX_PAIRS) -> FitInputs:
    """The inputs, with the likes of some users only where the likes are not in memory."""
    likes = inputs.likes
    if not isinstance(likes, MappedLikes):
        return inputs
    every = np.arange(likes.shape[0])
    users = every if likes.nnz <= n_pairs else some_users(likes, n_pairs)
    validation = inputs.validation
    if validation is not None:
        validation = of_users(validation, users)
    return replace(inputs, likes=of_users(likes, users), validation=validation)


class Trials:
    """Trainings that begin alike and differ in one value, judged by the NDCG of the same users.

    They leave features aside. The first vectors and the draws are always the same, so that a choice
    does not depend on ``random_state``.

    Parameters
    ----------
    inputs : FitInputs
    known : scipy.sparse.csr_array, (n_users, n_items)
        The likes that they learn from.
    wanted : scipy.sparse.csr_array, (n_users, n_items)
        The likes to find.
    max_users : int
        On so many users NDCG is measured.
    averaged : bool
        Whether it is that of averages over epochs, as a model has them, or of the last vectors.
    begin : function of FitInputs and Generator
        Returns a training from the start.
    make_job : function of FitInputs and TrainingState
        Returns what trains it.
    """

    def __init__(
        self,
        inputs: FitInputs,
        known: sp.csr_array,
        wanted: sp.csr_array,
        max_users: int,
        averaged: bool,
        begin: Begin,
        make_job: MakeJob,
    ) -> None:
        self._settings = replace(
            fewer_pairs(fewer_negatives(inputs.settings.steady(), N_NEGATIVES), known.nnz),
            ema_decay=inputs.settings.ema_decay if averaged else 0.0,
        )
        self._inputs = replace(inputs, likes=known, features={}, ids={}, settings=self._settings)
        self._wanted = sample_of_users(wanted, max_users)
        self._make_job = make_job
        self.begun = begin(self._inputs, np.random.default_rng(0))

    def train(self, state: TrainingState, n_epochs: int) -> None:
        """Train for so many epochs, or raise TrainingDiverged."""
        job = self._make_job(self._inputs, state)
        for _ in range(n_epochs):
            run_epoch(
                job,
                state,
                self._settings.n_threads,
                lambda n_pairs: None,
                granularity=launch_granularity(self._settings),
            )
            state.average(self._settings.ema_decay)
            state.advance(state.position, Counters())

    def copy(self, **values: Any) -> TrainingState:
        """Return a copy of ``begun`` with these values."""
        begun = self.begun
        state = replace(begun, tables=begun.tables.copy(), **values)
        state.averages = begun.averages and begun.averages.copy()
        return state

    def ndcg(self, state: TrainingState, n_epochs: int) -> np.ndarray:
        """Train for so many epochs, and return the NDCG of each user. Zeros if that diverges."""
        try:
            self.train(state, n_epochs)
        except TrainingDiverged:
            return np.zeros(np.count_nonzero(np.diff(self._wanted.indptr)))
        known, n_threads = self._inputs.likes, self._settings.n_threads
        found = measure(*state.vectors(), self._wanted, known, [K], n_threads=n_threads)
        return found.per_user["ndcg"][K]


def is_better(figures: np.ndarray, others: np.ndarray, errors: float = 1.0) -> bool:
    """Whether the mean of the same users is higher by more than so many standard errors."""
    gains = figures - others
    return bool(gains.mean() > errors * gains.std() / np.sqrt(len(gains)))
