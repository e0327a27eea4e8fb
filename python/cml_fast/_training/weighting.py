"""Weighting: what the weights of likes become before the kernels multiply losses by them.

One function for each weighting takes the likes and returns the weights of their pairs. The scale of
what it returns does not matter, because the weights are then divided by their mean. It looks at
each user's likes alone, so that those of new users can be weighed in the same way. A new weighting
is one function here and one line in `WEIGHTINGS`; docs/studies/weights.md compares these and others
that were tried.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from .._memory import readable
from .likes import PAIRS, Likes, MappedLikes, blocks, equal_weights

AnyLikes = TypeVar("AnyLikes", sp.csr_array, MappedLikes, Likes)

# Weights become at least this, as a weight of zero would be no like.
SMALLEST = float(np.finfo(np.float32).tiny)
# Weights whose standard deviation is above this many times their mean are as unequal as raw counts.
LARGEST_SPREAD = 1.0
# Bits of a float32.
FLOAT_BITS = 32


def _linear(likes: sp.csr_array) -> np.ndarray:
    """The weights as they are given."""
    weights: np.ndarray = likes.data
    return weights


def _saturating(likes: sp.csr_array) -> np.ndarray:
    """Weight w becomes w / (w + m), m the median of its user's weights.

    That is how BM25 saturates the count of a term (Robertson and Zaragoza, "The probabilistic
    relevance framework: BM25 and beyond", 2009, equation 3.10), with m in the place of its
    constant k. The weight of a user's median pair is 1/2, and no weight reaches 1.
    """
    medians = np.repeat(user_medians(likes), np.diff(likes.indptr))
    saturated: np.ndarray = 1 / (1 + medians / likes.data)
    return saturated


def _binary(likes: sp.csr_array) -> np.ndarray:
    """All weights are equal."""
    return np.ones(likes.nnz, dtype=np.float32)


WEIGHTINGS: dict[str, Callable[[sp.csr_array], np.ndarray]] = {
    "linear": _linear,
    "saturating": _saturating,
    "binary": _binary,
}


def weigh(likes: AnyLikes, weighting: str, mean: float | None = None) -> AnyLikes:
    """Return the likes with the weights for training, which have the mean 1.

    The scale of the given weights does not matter: c times the weights give the same result, to the
    bit if c is a power of two (and within float32's range), else but for the rounding of c times
    the weights. Equal weights become exactly 1.

    Parameters
    ----------
    likes : scipy.sparse.csr_array or MappedLikes, (n_users, n_items), float32
        Canonical, with positive values, at least one. Not changed; the result may share its arrays.
        The new weights of mapped likes lie in a temporary file.
    weighting : str
        One of `WEIGHTINGS`.
    mean : float, optional
        For the mapped likes of some users: what `mean_weight` is of all likes.

    Raises
    ------
    OSError
        If there is no room for that file.
    """
    if isinstance(likes, MappedLikes):
        return _weigh_mapped(likes, weighting, mean)
    assert mean is None
    weights = WEIGHTINGS[weighting](likes)
    return _with_weights(likes, weights, np.mean(weights, dtype=np.float64))


def weigh_by_user(likes: sp.csr_array, weighting: str) -> sp.csr_array:
    """As `weigh`, but the weights of each user, who has likes, have the mean 1.

    With the items fixed, it has no effect on a user's vector how heavy the user's likes are
    together: AdaGrad divides each step by the size of the user's gradients. So this is for folding
    in, where no user may matter to another.
    """
    weights = WEIGHTINGS[weighting](likes)
    n_liked = np.diff(likes.indptr)
    sums = np.add.reduceat(weights, likes.indptr[:-1], dtype=np.float64)
    return _with_weights(likes, weights, np.repeat(sums / n_liked, n_liked))


def _with_weights(
    likes: sp.csr_array, weights: np.ndarray, mean: np.ndarray | np.float64
) -> sp.csr_array:
    if likes.data.min() == 1 == likes.data.max():
        return likes  # saves a copy
    relative = _relative(weights, mean)
    return sp.csr_array((relative, likes.indices, likes.indptr), shape=likes.shape)


def _relative(weights: np.ndarray, mean: np.ndarray | np.float64) -> np.ndarray:
    """Weights divided by their mean, float32."""
    relative = np.empty(len(weights), dtype=np.float32)
    # As float32 the mean hardly ever depends on the order in which NumPy adds up.
    divisor = mean.astype(np.float32)
    np.divide(weights, divisor, out=relative, dtype=np.float64, casting="same_kind")
    np.maximum(relative, np.float32(SMALLEST), out=relative)
    return relative


def mean_weight(likes: MappedLikes, weighting: str) -> float:
    """The mean of what a weighting makes of the weights."""
    function = WEIGHTINGS[weighting]
    sums = [np.sum(function(block), dtype=np.float64) for _, block in blocks(likes)]
    return float(sum(sums) / likes.nnz)


def _weigh_mapped(likes: MappedLikes, weighting: str, mean: float | None) -> MappedLikes:
    """As `weigh`, in blocks."""
    if weighting == "binary" or (mean is None and likes.data.min() == 1 == likes.data.max()):
        return replace(likes, data=equal_weights(likes.nnz))
    function = WEIGHTINGS[weighting]
    divisor = np.float64(mean_weight(likes, weighting) if mean is None else mean)
    folder, needed = tempfile.gettempdir(), likes.data.nbytes
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"weights for training need a temporary file of {readable(needed)}, and {folder} has "
            f"{readable(free)} free; set TMPDIR to a folder with more, or give weighting='binary'"
        )
    with tempfile.TemporaryFile() as file:
        for _, block in blocks(likes):
            file.write(_relative(function(block), divisor).tobytes())
        file.flush()
        weights = np.memmap(file, dtype=np.float32, mode="r")  # keeps the file
    return replace(likes, data=weights.view(np.ndarray))


def choose_weighting(likes: Likes, *, stacklevel: int) -> str:
    """The weighting where none is named: "linear", but "saturating" for what looks like counts.

    The second comes with a warning, which points at the caller of the caller for stacklevel 3.
    """
    mean = np.mean(likes.data, dtype=np.float64)
    squares = 0.0
    for begin in range(0, likes.nnz, PAIRS):
        relative = np.divide(likes.data[begin : begin + PAIRS], mean, dtype=np.float64)
        squares += float(np.square(relative, out=relative).sum())
    largest = likes.data.max() / mean
    spread = np.sqrt(max(squares / likes.nnz - 1, 0))
    if spread <= LARGEST_SPREAD:
        return "linear"
    warnings.warn(
        f"train: its weights are as unequal as raw counts (standard deviation {spread:.3g} times "
        f"the mean, largest {largest:.3g} times), so a few pairs would outweigh all "
        "others; they are trained with weighting='saturating'. Name that to choose it without this "
        "warning, 'linear' to take the weights as they are, 'binary' to ignore them",
        stacklevel=stacklevel,
    )
    return "saturating"


def user_medians(likes: sp.csr_array) -> np.ndarray:
    """The median of each user's float32 weights, NaN without likes: (n_users,), float64."""
    n_liked = np.diff(likes.indptr).astype(np.int64)
    rows = np.repeat(np.arange(likes.shape[0], dtype=np.int64), n_liked)
    # Positive floats are in the order of their bits: one sort of integers puts the weights of
    # each user in order.
    keys = rows << FLOAT_BITS | likes.data.view(np.int32)
    keys.sort()
    medians = np.full(likes.shape[0], np.nan)
    some = np.flatnonzero(n_liked)
    middle = [likes.indptr[some] + half[some] for half in ((n_liked - 1) // 2, n_liked // 2)]
    low, high = (keys[at].astype(np.int32).view(np.float32).astype(np.float64) for at in middle)
    medians[some] = (low + high) / 2
    return medians
