"""How much of their vectors users keep from one epoch to the next, chosen by short trial trainings.

A user with a few likes can be placed such that just these are near, whatever the items. The items
then learn nothing from these likes, and the user is near to nothing else. So, at the beginning of
an epoch, users can be drawn back towards the origin: what moves an item is then what the user's
other likes say, and not that the user has been trained on this one before. On data with a simple
structure that gains up to half of the recall; on others it costs some (see
docs/studies/many-kinds.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from .._compute.tables import Tables
from ..data import split
from ..errors import TrainingDiverged
from .fit_inputs import FitInputs, sample_of_users
from .trials import Begin, K, MakeJob, Trials, is_better

LITTLE = 0.3  # what users keep of their vectors if they had better not keep all
N_EPOCHS = 8
# After so many it is over if users who keep all are better by so many standard errors.
EARLY, EARLY_ERRORS = 4, 2.5
# The share of the likes that is held out. With less the errors are larger, and chance decides more.
HELD_OUT = 0.3
LEAST_LIKES = 2  # of a user of whom some can be held out
MAX_USERS = 2000  # on whom NDCG is measured
MAX_PAIRS = 10_000  # of likes in a trial: those of as many users as have so many
MOST = 0.5  # the share of users with a single like, above which they keep little with any loss


def draw_back(tables: Tables, retention: float) -> None:
    """Multiply the vectors of all users by ``retention``, as at the beginning of an epoch."""
    if retention != 1:
        tables.arrays["users"] *= np.float32(retention)


def share_of_single(counts: np.ndarray) -> float:
    """Of the users who like something, the share who like a single item.

    ``counts`` are the likes of each user.
    """
    return int(np.count_nonzero(counts == 1)) / max(1, int(np.count_nonzero(counts)))


def without_trials(counts: np.ndarray) -> float:
    """What users keep with a loss for which there are no trials: ``LITTLE`` or all.

    A user with a single like would be placed at the item, which then learns nothing from it.
    ``counts`` are the likes of each user.
    """
    return LITTLE if share_of_single(counts) > MOST else 1.0


def choose(
    inputs: FitInputs,
    begin: Begin,
    make_job: MakeJob,
    say: Callable[[str], None],
) -> float:
    """Return 1 if users who keep all have a better NDCG after a few epochs, else ``LITTLE``.

    Better means than that of users who keep nothing, by a standard error of the mean over the
    users, or by two and a half after half of the epochs: where there is no evidence, as in small
    data, the vectors of users are better held back. At the end the means of both measurements are
    compared, which depend less on chance than the last one. To keep nothing is too little for most
    data, but it shows sooner than ``LITTLE`` what is better.

    NDCG is measured on the validation data, or on likes held out for the trials. Where no user has
    a second like to hold out, ``LITTLE`` is returned.

    Parameters
    ----------
    inputs : FitInputs
    begin, make_job
        See `Trials`.
    say : function of str
        Is told the choice and what it rests on.
    """
    known, wanted = _parts(inputs)
    if wanted.nnz == 0 or known.nnz == 0:
        say(f"user_retention {LITTLE:g}, as no user has two likes")
        return LITTLE
    trials = Trials(inputs, known, wanted, MAX_USERS, True, begin, make_job)
    try:
        trials.train(trials.begun, 1)  # in which it makes no difference
    except TrainingDiverged:
        return 1.0
    all_kept, nothing = (trials.copy(user_retention=kept) for kept in (1.0, 0.0))
    done = 1
    figures: list[list[np.ndarray]] = []
    for until, errors in ((EARLY, EARLY_ERRORS), (N_EPOCHS, 1.0)):
        figures.append([trials.ndcg(one, until - done) for one in (all_kept, nothing)])
        of_all, of_nothing = np.mean(figures, axis=0)
        done, best = until, 1.0 if is_better(of_all, of_nothing, errors) else LITTLE
        if best == 1:
            break
    evidence = f"1: {of_all.mean():.4f}, 0: {of_nothing.mean():.4f}"
    after = f"{EARLY}" if done == EARLY else f"{EARLY} and {N_EPOCHS}"
    say(f"user_retention {best:g}, by NDCG@{K} after {after} epochs ({evidence})")
    return best


def _parts(inputs: FitInputs) -> tuple[sp.csr_array, sp.csr_array]:
    """The likes to train on in a trial, and those to find."""
    known, wanted = inputs.likes, inputs.validation
    if known.nnz > MAX_PAIRS:
        mean = known.nnz / np.count_nonzero(np.diff(known.indptr))
        known = sample_of_users(known, max(1, int(MAX_PAIRS / mean)))
        if wanted is not None:
            likes_it = sp.dia_array(
                ((np.diff(known.indptr) > 0).astype(np.float32)[None], [0]),
                shape=(known.shape[0],) * 2,
            )
            wanted = sp.csr_array(likes_it @ wanted)
            wanted.eliminate_zeros()
    if wanted is None:
        known, wanted = split(known, (1 - HELD_OUT, HELD_OUT), 0, min_interactions=LEAST_LIKES)
    return known, wanted
