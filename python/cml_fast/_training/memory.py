"""The memory that a training takes, and a refusal where it is not there."""

from __future__ import annotations

import numpy as np

from .._compute.settings import Settings
from .._compute.tables import Tables
from .._memory import check_memory


def memory_bytes(settings: Settings, shape: tuple[int, int], *, validated: bool) -> int:
    """The most memory that a training takes, without its likes."""
    tables = Tables.n_bytes(shape, settings.n_dims, rowwise=settings.rowwise)
    number = np.dtype(np.float32).itemsize
    vectors = sum(shape) * settings.n_dims * number
    # A popularity bias adds a coordinate.
    of_model = sum(shape) * (settings.n_dims + 1) * number
    # The tables and the averages over epochs, and those of the best epoch.
    kept = (tables + (vectors if settings.ema_decay else 0)) * (2 if validated else 1)
    # The vectors are copied, and the model copies them again. If there is one for each epoch, the
    # last one is still there.
    return kept + of_model * (3 if validated else 2)


def check_fits(settings: Settings, shape: tuple[int, int], *, validated: bool) -> None:
    """Raise MemoryError for a training that does not fit into memory, before any is allocated."""
    check_memory(
        f"training {shape[0]:,} users and {shape[1]:,} items with n_dims={settings.n_dims}",
        memory_bytes(settings, shape, validated=validated),
        "give a lower n_dims, or leave users and items with few likes out",
    )
