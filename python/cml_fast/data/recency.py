"""Weights by age: old interactions count less than new ones."""

from __future__ import annotations

import datetime
import numbers
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._validation.scalars import check_real
from ..errors import DataError
from ._timestamps import moment
from .interactions import Interactions


def weigh_by_recency(
    interactions: Interactions, half_life: float | datetime.timedelta, *, now: Any = None
) -> Interactions:
    """Multiply the weight of each interaction by 2 ** (-age / half_life).

    An interaction of one half-life ago counts half as much as one of now, and one of two half-lives
    ago a quarter. In training only ratios of weights matter, so ``now`` makes no difference there;
    but likes that are weighed apart from each other and trained together, as with
    `Trainer.partial_fit`, need the same ``now``.

    Parameters
    ----------
    interactions : Interactions, (n_users, n_items)
        With timestamps. It is not changed.
    half_life : float, or datetime.timedelta (also of NumPy and pandas)
        Above 0: in the units of the timestamps, or a duration if these are datetimes.
    now : number, datetime or str, optional
        The moment at which the age is 0; by default that of the latest interaction. Later
        interactions get larger weights.

    Returns
    -------
    Interactions
        With the same users, items and timestamps. No weight becomes zero: the smallest is the
        smallest normal float32, 1.2e-38.

    Raises
    ------
    TypeError, ValueError
        If ``half_life`` or ``now`` is of the wrong kind for these timestamps, or not above 0.
    DataError
        If there are no timestamps, or a weight would be too large for float32.

    Notes
    -----
    Give `Trainer` ``weighting="linear"``: if a half-life is short, these weights are as unequal as
    raw counts, which are else taken for counts and made more equal. Choose the half-life on a split
    by time (`split_by_time`): [Keeping up](../studies/keeping-up.md) shows gains and losses.

    Examples
    --------
    >>> from cml_fast.data import Interactions, weigh_by_recency
    >>> likes = Interactions.from_arrays(["ann", "ann", "bob"], [7, 8, 7], timestamps=[0, 20, 30])
    >>> weigh_by_recency(likes, 10).matrix.data.tolist()
    [0.125, 0.5, 1.0]
    >>> weigh_by_recency(likes, 10, now=20).matrix.data.tolist()
    [0.25, 1.0, 2.0]
    """
    if interactions.timestamps is None:
        raise DataError("interactions has no timestamps, which tell the age of each interaction")
    times = interactions.timestamps
    start = times.max() if now is None else moment("now", now, times)
    ages = (start - times) / _duration(half_life, times)
    with np.errstate(over="ignore"):
        weights = interactions.matrix.data * np.exp2(-ages.astype(np.float64))
    single = np.finfo(np.float32)
    if not weights.max() <= single.max:
        raise DataError(
            f"half_life={half_life!r} and now={now!r} give weights up to {weights.max():.3g}, too "
            "large for single precision; name a later moment as now"
        )
    weights = np.maximum(weights, single.tiny).astype(np.float32)
    matrix = interactions.matrix
    weighed = sp.csr_array((weights, matrix.indices, matrix.indptr), shape=matrix.shape)
    return interactions._with(weighed, times)


def _duration(half_life: Any, times: np.ndarray) -> Any:
    """Return a half-life as something that differences of these timestamps are divided by."""
    if times.dtype.kind != "M":
        if isinstance(half_life, bool) or not isinstance(half_life, numbers.Real):
            raise TypeError(
                f"half_life must be a number, as the timestamps are numbers; got {half_life!r}"
            )
        return check_real("half_life", half_life, 0, strict=True)
    if not isinstance(half_life, datetime.timedelta | np.timedelta64):
        raise TypeError(
            "half_life must be a datetime.timedelta, as the timestamps are datetimes; got "
            f"{half_life!r}"
        )
    duration = np.timedelta64(half_life).astype("timedelta64[us]")
    if not duration > np.timedelta64(0, "us"):
        raise ValueError(f"half_life must be above 0, got {half_life!r}")
    return duration
