"""Code that runs on NumPy and CuPy arrays alike: functions come from the arrays' own namespace."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

# For functions with matrix products: where all numbers are finite, BLAS may compute with others in
# lanes that it throws away. Overflow shows in the results, which callers look at.
ignore_spurious_flags = np.errstate(invalid="ignore", over="ignore")


def namespace_of(array: Any) -> Any:
    """Return the module whose functions take ``array``: numpy, cupy or array_api_strict.

    Code written against it keeps to what NumPy 1.23, CuPy 13 and the array API standard share.
    """
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    # NumPy before 2.0 and older CuPy do not say, but their classes are in it.
    return import_module(type(array).__module__.partition(".")[0])


def namespace_on(device: str) -> Any:
    """Return the module whose arrays are in the memory of "cpu" or "cuda"."""
    return import_module("cupy") if device == "cuda" else np


def to_numpy(array: Any) -> np.ndarray:
    """Return a copy of an array of any namespace in NumPy's memory."""
    # CuPy copies to the host only when asked by this name.
    return array.get() if hasattr(array, "get") else np.array(array)
