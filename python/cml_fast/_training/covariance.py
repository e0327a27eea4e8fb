"""Covariance regularisation (Hsieh et al., WWW 2017, section 3.4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._compute.array_api import ignore_spurious_flags, namespace_of
from .._compute.counter_rng import COVARIANCE, distinct_rows, random_words
from .._compute.settings import Settings
from .._compute.tables import Tables


@ignore_spurious_flags
def covariance_loss(vectors: Any) -> tuple[Any, Any]:
    """Penalise what the dimensions of vectors have in common.

    With the covariance matrix C = 1/N sum_n (y_n - mean)(y_n - mean)^T of N vectors y_n,

        L_c = ||C||_F^2 - ||diag C||_2^2,

    the sum of the squared covariances of all pairs of different dimensions: zero where they are
    uncorrelated, never negative.

    The paper prints 1/N (||C||_F - ||diag C||_2^2), a norm beside a squared norm. Its source takes
    squares, 1/2 (||C||_F^2 - ||diag C||_2^2) (Cogswell et al., "Reducing overfitting in deep
    networks by decorrelating representations", ICLR 2016), and so does this. Constant factors such
    as 1/N are left to the weight of the loss.

    Parameters
    ----------
    vectors : array (N, r) of floats, N at least 1
        Of NumPy, CuPy or another namespace of the array API standard. In training: the vectors of
        the users and items of a batch, one row each.

    Returns
    -------
    loss : array () of the namespace and dtype of ``vectors``
        L_c. Not copied to the host.
    gradient : array (N, r), likewise
        dL_c / dy_n in row n.

    Notes
    -----
    Let z_n = y_n - mean and O = C - diag C, so that L_c = sum_ij O_ij^2 and
    dL_c = 2 sum_ij O_ij dC_ij. For dC the mean can be held constant: its change is the same for
    all n, and the z_n add up to zero. So dC_ij = 1/N sum_n (dy_ni z_nj + z_ni dy_nj), and as O is
    symmetric

        dL_c / dy_n = 4/N z_n O.
    """
    xp = namespace_of(vectors)
    n, r = vectors.shape
    centred = vectors - xp.mean(vectors, axis=0, keepdims=True)
    covariance = centred.T @ centred / n
    off_diagonal = covariance * (1 - xp.eye(r, dtype=vectors.dtype))
    loss = xp.sum(off_diagonal * off_diagonal)
    return loss, centred @ (off_diagonal * (4 / n))


class CovarianceStep:
    """Covariance regularisation between launches: a step of some users and items along L_c.

    The gradient is that of N L_c, N the number of sampled vectors, so that what it does to each of
    them does not depend on how many there are.
    """

    SAMPLED = 1024  # users, and as many items; one that is drawn twice counters once

    def __init__(self, tables: Tables, job: Any, settings: Settings) -> None:
        self.interval = settings.cov_interval
        self._tables, self._job = tables, job
        self._weight, self._seed = settings.cov_weight, settings.seed

    def step(self, epoch: int, number: int) -> bool:
        tables = self._tables
        xp = namespace_of(tables.arrays["users"])
        words = random_words(self._seed, COVARIANCE, (number, epoch), 2 * self.SAMPLED)
        halves = zip(("users", "items"), tables.shape, np.split(words, 2), strict=True)
        rows = {name: xp.asarray(distinct_rows(half, n)) for name, n, half in halves}
        vectors = [tables.arrays[name][rows[name], : tables.n_dims] for name in rows]
        n_users = len(vectors[0])
        _, gradients = covariance_loss(xp.concatenate(vectors))
        gradients *= self._weight * len(gradients)
        refused = [
            self._job.step("users", rows["users"], tables.padded(gradients[:n_users])),
            self._job.step("items", rows["items"], tables.padded(gradients[n_users:])),
        ]
        return refused == [None, None]
