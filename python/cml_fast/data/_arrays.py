"""Sequences of numbers or datetimes that callers give, as NumPy arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def plain_array(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Return values as an array, of numbers where all are numbers, whoever wrapped them."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise TypeError(f"{name} must be a one-dimensional sequence: {error}") from error
    if array.dtype == object and array.ndim == 1:
        # Columns of pandas that could have missing values give objects, though all are numbers.
        unwrapped = np.array(array.tolist())
        if unwrapped.ndim == 1 and unwrapped.dtype.kind in "iuf":
            return unwrapped
    return array
