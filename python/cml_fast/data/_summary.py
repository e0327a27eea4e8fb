"""The figures that describe interactions, and the table that shows them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

_POPULAR = 0.05
_WIDTH = 17


def describe(matrix: sp.csr_array, timestamps: np.ndarray | None) -> dict[str, Any]:
    """Return the figures of `Interactions.describe`."""
    n_users, n_items = matrix.shape
    counts = np.bincount(matrix.indices, minlength=n_items)
    n_popular = math.ceil(_POPULAR * n_items)
    popular = np.partition(counts, n_items - n_popular)[n_items - n_popular :].sum()
    return {
        "users": n_users,
        "items": n_items,
        "interactions": int(matrix.nnz),
        "density": matrix.nnz / (n_users * n_items),
        "weights": _range(matrix.data),
        "timestamps": None if timestamps is None else _range(timestamps),
        "popular_share": int(popular) / matrix.nnz if matrix.nnz else 0.0,
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures of `describe` as lines of text."""
    lines = {
        **{name: f"{figures[name]:,}" for name in ("users", "items", "interactions")},
        "density": _percent(figures["density"]),
        "weights": _span(figures["weights"]),
        "timestamps": _span(figures["timestamps"]),
        "popular items": f"{_percent(figures['popular_share'])} of the interactions are with the "
        f"most popular {_percent(_POPULAR)} of the items",
    }
    return "\n".join(f"{name:{_WIDTH}}{value}" for name, value in lines.items())


def _range(values: np.ndarray) -> tuple[Any, Any] | None:
    return (values.min().item(), values.max().item()) if values.size else None


def _span(limits: tuple[Any, Any] | None) -> str:
    if limits is None:
        return "none"
    low, high = (f"{value:g}" if isinstance(value, float) else str(value) for value in limits)
    return f"{low} to {high}"


def _percent(share: float) -> str:
    """Return a share in percent, with two significant digits."""
    return f"{float(f'{100 * share:.2g}'):g}%"
