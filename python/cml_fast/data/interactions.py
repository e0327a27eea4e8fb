"""Interactions: who liked what, with the external ids of users and items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ._readers.report import ReadReport


@dataclass(frozen=True, repr=False)
class Interactions:
    """Implicit feedback with external ids.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, (n_users, n_items), float32
        The weight of each interaction; sorted, without duplicates or zeros.
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,), int64 or str
        The external id of each row and column.
    timestamps : numpy.ndarray, (matrix.nnz,), int64, float64 or datetime64[us], optional
        When each interaction happened, in the order of ``matrix.data``.
    report : ReadReport, optional
        What became of every line, if the interactions were read from a file.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import Interactions
    >>> matrix = sp.csr_array(np.array([[1, 0, 1], [0, 1, 0]], dtype=np.float32))
    >>> Interactions(matrix, np.array(["ann", "bob"]), np.array([10, 20, 30]))
    Interactions(2 users x 3 items, 3 interactions)
    """

    matrix: sp.csr_array
    user_ids: np.ndarray
    item_ids: np.ndarray
    timestamps: np.ndarray | None = None
    report: ReadReport | None = None

    def __repr__(self) -> str:
        n_users, n_items = self.matrix.shape
        return (
            f"Interactions({n_users:,} users x {n_items:,} items, {self.matrix.nnz:,} interactions)"
        )
