"""What the adapters share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._search.exact import nearest
from ..trainer import Trainer

# The hyper-parameters of `Trainer` and their defaults, without two: the tools say in their own ways
# what to print, and a model that they fit always begins anew.
HYPERPARAMETERS: dict[str, Any] = {
    name: default
    for name, default in Trainer().get_params().items()
    if name not in ("verbose", "warm_start")
}


@contextmanager
def imports_of(tool: str, package: str) -> Iterator[None]:
    """Import a tool in this context; if that fails, say which command installs it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"this adapter needs {tool}: pip install {package} (the import failed with: {error})"
        ) from error


def check_names(settings: Mapping[str, Any]) -> None:
    """Refuse names that are none of `HYPERPARAMETERS`."""
    unknown = settings.keys() - HYPERPARAMETERS.keys()
    if unknown:
        raise TypeError(
            f"unknown hyper-parameter {min(unknown)!r}; there are {', '.join(HYPERPARAMETERS)}"
        )


def nearest_allowed(
    queries: np.ndarray,
    points: np.ndarray,
    n: int,
    exclude: sp.sparray | sp.spmatrix | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the n points nearest to each query, among those that are allowed and not excluded.

    Parameters
    ----------
    queries, points : numpy.ndarray, (m, r) and (p, r), float32
    n : int
        At least 1; may exceed p.
    exclude : scipy.sparse matrix or array, (m, p), optional
        The non-zero entries of a row may not be found for the query of this row.
    allowed : numpy.ndarray, int, optional
        Rows of ``points``, unique and ascending; all by default.

    Returns
    -------
    rows, distances : numpy.ndarray, (m, k), int64 and float32
        Nearest first, -1 and +inf where there are no more. k is n, or the number of allowed points
        if that is less.
    """
    mask = sp.csr_array((len(queries), len(points))) if exclude is None else sp.csr_array(exclude)
    mask = mask.astype(bool)  # a copy: an explicit zero excludes nothing
    mask.eliminate_zeros()
    if allowed is not None:
        points, mask = points[allowed], mask[:, allowed]
    if len(points) == 0:
        return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    rows, distances = nearest(queries, points, min(n, len(points)), mask)
    if allowed is not None:
        rows = np.where(rows < 0, -1, allowed[rows])
    return rows, distances
