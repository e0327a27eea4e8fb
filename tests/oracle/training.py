"""Training: asynchronous updates, synchronous mini-batches, and folding in users."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .gradients import step_gradients
from .losses import PAIR_LOSSES
from .problem import Settings, Tables, new_counters
from .updates import update_row


def train(
    tables: Tables, likes: sp.csr_array, begin: int, end: int, settings: Settings
) -> dict[str, float]:
    """Train on the samples [begin, end) in order; sample t belongs to epoch t // n_pairs.

    With ``settings.batch_size`` a mini-batch is so many successive samples, or what is left of an
    epoch; ``begin`` and ``end`` are bounds of mini-batches then.
    """
    counters = new_counters()
    while begin < end:
        epoch_end = (begin // likes.nnz + 1) * likes.nnz
        if settings.batch_size:
            last = min(begin + settings.batch_size, epoch_end, end)
            train_batch(tables, likes, range(begin, last), settings, counters)
        else:
            last = min(epoch_end, end)
            for step in step_gradients(tables, likes, range(begin, last), settings, counters):
                for name, row, gradient in step:
                    update_row(tables, name, row, gradient, settings)
        begin = last
    return counters


# --- synchronous mini-batches -----------------------------------------------------------------


def rounding_unit(settings: Settings) -> float:
    """The power of two to whose multiples the gradients of a mini-batch are rounded.

    With it integers of 64 bits hold every sum of gradients that are not larger than
    ``settings.largest_gradient``, so sums are exact and their order does not matter.
    """
    together = 1 if settings.loss in PAIR_LOSSES else settings.tile_size
    n_summands = -(-settings.batch_size // together)
    exponent = np.frexp(settings.largest_gradient)[1]
    bits = min(50, 62 - int(np.ceil(np.log2(n_summands))))
    return float(2.0 ** (exponent - bits))


def train_batch(
    tables: Tables,
    likes: sp.csr_array,
    samples: range,
    settings: Settings,
    counters: dict[str, float],
) -> None:
    """Add up all gradients at the present parameters, then update each touched row once."""
    unit = rounding_unit(settings)
    sums: dict[tuple[str, int], np.ndarray] = {}
    for step in step_gradients(tables, likes, samples, settings, counters):
        for name, row, gradient in step:
            units = np.rint(gradient / np.float64(unit)).astype(np.int64)
            sums[name, row] = sums.get((name, row), 0) + units
    for (name, row), units in sums.items():
        gradient = units.astype(tables.users.dtype) * tables.users.dtype.type(unit)
        update_row(tables, name, row, gradient, settings)


# --- folding in -------------------------------------------------------------------------------


def fold_in(
    tables: Tables,
    likes: sp.csr_array,
    n_epochs: int,
    settings: Settings,
    retention: float = 1.0,
) -> None:
    """Train each user alone, on their own pairs, with the items fixed."""
    counters = new_counters()
    for i in range(likes.shape[0]):
        own = likes[[i]]
        user = tables.users[i : i + 1], tables.user_accumulators[i : i + 1]
        alone = Tables(*user, tables.items, tables.item_accumulators)
        for epoch in range(n_epochs):
            if epoch > 0 and own.nnz > 0:
                alone.users[:] *= np.float32(retention)
            samples = range(epoch * own.nnz, (epoch + 1) * own.nnz)
            for step in step_gradients(alone, own, samples, settings, counters):
                of_user = [gradient for name, _, gradient in step if name == "user"]
                if of_user:  # the pairs of a tile make one step together
                    total = np.zeros_like(of_user[0])
                    for gradient in of_user:
                        total = total + gradient
                    update_row(alone, "user", 0, total, settings)
