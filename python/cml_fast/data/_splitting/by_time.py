"""Dividing all interactions at one moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import DataError
from .._timestamps import moment
from .parts import Source, Split, check_source, check_test_size, make_split, n_of, timestamps_of


def split_by_time(
    interactions: Source, test_size: float | None = None, *, at: Any = None
) -> Split[Source]:
    """Split at one moment: training knows the past of all users, and the test is their future.

    Parameters
    ----------
    interactions : Interactions, (n_users, n_items)
        What to split, with timestamps. It is not changed.
    test_size : int or float, optional
        How many interactions, the latest of all, are for the test; a float in (0, 1) is a share.
        Those of one moment stay together: where the border falls between them, all of them are in
        the test part.
    at : number, datetime or str, optional
        The moment, in the units of the timestamps: what happened before it is for training, and
        what happened then or later for the test. Where the timestamps are datetimes it may be a
        text such as ``"2024-12-31"``. Give either this or ``test_size``.

    Returns
    -------
    Split
        The tuple (train, test) with the shape and ids of ``interactions``. Split ``train`` again
        for a validation part.

    Raises
    ------
    ValueError, TypeError
        If not exactly one of ``test_size`` and ``at`` is given, or it is of the wrong kind.
    DataError
        If there are no timestamps, or one of the parts would be empty.

    Examples
    --------
    >>> from cml_fast.data import Interactions, split_by_time
    >>> likes = Interactions.from_arrays(
    ...     ["ann", "ann", "ann", "bob"], [7, 8, 9, 7], timestamps=[10, 20, 30, 30]
    ... )
    >>> train, test = split_by_time(likes, at=20)
    >>> train.timestamps.tolist(), test.timestamps.tolist()
    ([10], [20, 30, 30])
    >>> print(split_by_time(likes, 0.25).report)
                interactions       users       items
    train                  2           1           2
    test                   2           2           2
    interactions that went to test so that no moment is divided: 1
    users of other parts who have nothing in train: 1
    items of other parts that have nothing in train: 1
    interactions of other parts with such a user or item: 2
    """
    if (test_size is None) == (at is None):
        raise ValueError(
            f"give either test_size or at, got test_size={test_size!r} and at={at!r}: "
            "test_size=0.2 is the latest fifth of the interactions"
        )
    if test_size is not None:
        test_size = check_test_size(test_size)
    matrix = check_source(interactions)
    times = timestamps_of(interactions)
    border = moment("at", at, times) if test_size is None else _latest(times, test_size)
    is_test = times >= border
    n_test = int(np.count_nonzero(is_test))
    if not 0 < n_test < times.size:
        what = f"at={at!r}" if test_size is None else f"test_size={test_size!r}"
        raise DataError(
            f"{what} leaves nothing for {'training' if n_test else 'the test'}: the timestamps of "
            f"these {times.size} interactions go from {times.min()} to {times.max()}"
        )
    moved = 0 if test_size is None else n_test - int(n_of(test_size, times.size))
    return make_split(interactions, matrix, is_test, ties_moved=moved)


def _latest(times: np.ndarray, test_size: float) -> Any:
    """Return the moment of the earliest of the ``test_size`` latest; an end where there is none."""
    n_test = int(n_of(test_size, times.size))
    if n_test == 0:
        raise DataError(
            f"test_size={test_size!r} leaves nothing for the test: it is less than one of "
            f"{times.size} interactions"
        )
    return np.partition(times, times.size - n_test)[times.size - n_test]
