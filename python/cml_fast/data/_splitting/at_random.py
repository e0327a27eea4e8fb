"""Dividing each user's interactions at random, in given proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..._validation.scalars import check_int, check_random_state, check_real
from .parts import Source, Split, check_source, make_split

_SUM_TOLERANCE = 1e-8


def split(
    interactions: Source,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    random_state: int | np.random.Generator | np.random.RandomState | None = 0,
    min_interactions: int = 5,
) -> Split[Source]:
    """Split every user's interactions at random, as in section 4.2 of the paper.

    Of a user's n interactions, each part gets n times its fraction, rounded up or down at random
    such that over many users the parts have their fractions of the whole.

    Parameters
    ----------
    interactions : Interactions or scipy.sparse matrix or array, (n_users, n_items)
        What to split. It is not changed.
    fractions : sequence of float, default (0.6, 0.2, 0.2)
        The share of each part; positive, with sum 1. The first part is for training.
    random_state : int, None, numpy Generator or RandomState, default 0
        An int gives the same parts every time, None different ones.
    min_interactions : int, default 5
        Users with fewer interactions are in the first part only.

    Returns
    -------
    Split
        A tuple with one part for each fraction, with the shape and the ids of ``interactions``: an
        ``Interactions`` for an ``Interactions``, else a float32 CSR matrix or array.
        Every interaction is in exactly one part, with its weight and timestamp.

    Raises
    ------
    ValueError
        If a fraction is not positive, the sum is not 1, or ``min_interactions`` is negative.
    TypeError
        If an argument is of the wrong kind.
    DataError
        If the matrix is empty or has NaN, infinite or negative values.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import split
    >>> likes = sp.csr_array(np.ones((4, 10)))
    >>> train, validation, test = split(likes, (0.6, 0.2, 0.2), random_state=0)
    >>> [part.nnz for part in (train, validation, test)]
    [24, 8, 8]
    >>> np.diff(train.indptr).tolist()
    [6, 6, 6, 6]
    """
    rng = check_random_state(random_state)
    if not np.iterable(fractions):
        raise TypeError(f"fractions must be a sequence such as (0.8, 0.2), got {fractions!r}")
    shares = [check_real("fractions", fraction, 0.0, strict=True) for fraction in fractions]
    if not math.isclose(sum(shares), 1.0, abs_tol=_SUM_TOLERANCE):
        raise ValueError(f"fractions must have sum 1, got {tuple(fractions)} of sum {sum(shares)}")
    min_interactions = check_int("min_interactions", min_interactions, 0)
    matrix = check_source(interactions)
    part = _draw_parts(matrix.indptr, np.array(shares), min_interactions, rng)
    counts = np.diff(matrix.indptr)
    too_few = np.count_nonzero((counts > 0) & (counts < min_interactions))
    return make_split(interactions, matrix, part, len(shares), users_with_too_few=int(too_few))


def _draw_parts(
    indptr: np.ndarray, shares: np.ndarray, min_interactions: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the number of the part, (nnz,), of every interaction of a CSR matrix."""
    counts = np.diff(indptr)
    rows = np.repeat(np.arange(counts.size), counts)
    order = np.lexsort((rng.random(rows.size), rows))  # each user's interactions, shuffled
    rank = np.arange(rows.size) - np.repeat(indptr[:-1], counts)
    # Systematic sampling: one offset per user, the same for all borders, makes every part's
    # size n * share rounded up or down with the right probability: floor(b + u) - floor(a + u)
    # differs from b - a by less than 1.
    offset = rng.random(counts.size)
    part = np.zeros(rows.size, dtype=np.min_scalar_type(shares.size))
    for border in np.cumsum(shares)[:-1]:
        first = np.floor(counts * border + offset)
        first[counts < min_interactions] = np.inf
        part[order] += rank >= first[rows]
    return part
