"""Bootstrap confidence intervals of means over users."""

from __future__ import annotations

import numpy as np

from .._validation.scalars import check_between, check_int

# Drawn users in memory at a time.
BLOCK_DRAWS = 1 << 22
# The largest confidence that `check_confidence` accepts, and the smallest.
MOST_CONFIDENT, LEAST_CONFIDENT = 0.9999, 0.5


def mean_intervals(
    values: np.ndarray, confidence: float, n_resamples: int, random_state: int
) -> np.ndarray:
    """Return percentile bootstrap intervals of means (Efron, 1979): (2, c), lower and upper ends.

    As ``scipy.stats.bootstrap(..., method="percentile")`` of SciPy 1.17. All columns are of the
    same drawn users. NaN values are left out of the means.

    Parameters
    ----------
    values : numpy.ndarray, (m, c), float64
        A row for each user.
    confidence : float
        Such as 0.95.
    n_resamples : int
        How often m users are drawn with replacement.
    random_state : int
        Seed of the draws.
    """
    m = len(values)
    generator = np.random.default_rng(random_state)
    there = ~np.isnan(values)
    filled = np.where(there, values, 0)
    complete = bool(there.all())
    means = np.empty((n_resamples, values.shape[1]))
    step = max(1, BLOCK_DRAWS // max(1, m))
    for start in range(0, n_resamples, step):
        n = min(step, n_resamples - start)
        drawn = generator.integers(m, size=(n, m))
        # How often each user was drawn, so that all columns take one matrix product.
        times = np.bincount((drawn + m * np.arange(n)[:, None]).ravel(), minlength=n * m)
        times = times.reshape(n, m).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[start : start + n] = times @ filled / (m if complete else times @ there)
    tail = (1 - confidence) / 2
    known = np.isfinite(means).any(axis=0)
    ends = np.full((2, values.shape[1]), np.nan)
    ends[:, known] = np.nanquantile(means[:, known], [tail, 1 - tail], axis=0)
    return ends


def check_bootstrap(confidence: float, n_resamples: int, random_state: int) -> None:
    """Raise TypeError or ValueError for what `mean_intervals` cannot use."""
    check_between("confidence", confidence, LEAST_CONFIDENT, MOST_CONFIDENT)
    check_int("n_resamples", n_resamples, 1)
    check_int("random_state", random_state, 0)
