"""Features: what is known of users or items besides the interactions, such as tags or genres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._validation.matrices import FEATURES, check_matrix
from ..errors import DataError
from ._ids import same_ids
from ._readers.report import ReadReport


@dataclass(frozen=True, repr=False)
class Features:
    """Features of objects, which are users or items: tags, genres, words.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, (n_objects, n_features), float32
        The weight of each feature of each object; sorted, without duplicates or zeros.
    ids : numpy.ndarray, (n_objects,), int64 or str, or None
        The external id of each row, None where neither the file nor the caller has any.
    names : numpy.ndarray, (n_features,), int64 or str
        The name of each column.
    report : ReadReport, optional
        What became of every line, if the features were read from a file.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.data import Features
    >>> matrix = sp.csr_array(np.array([[1, 0], [0, 2], [1, 0]], dtype=np.float32))
    >>> Features(matrix, np.array([10, 20, 30]), np.array(["jazz", "soul"]))
    Features(3 objects x 2 features, 3 entries)
    """

    matrix: sp.csr_array
    ids: np.ndarray | None
    names: np.ndarray
    report: ReadReport | None = None

    def __repr__(self) -> str:
        n_objects, n_features = self.matrix.shape
        return (
            f"Features({n_objects:,} objects x {n_features:,} features, "
            f"{self.matrix.nnz:,} entries)"
        )


def check_features(
    name: str, features: Any, n_rows: int, ids: np.ndarray | None
) -> sp.csr_array | np.ndarray:
    """Return features as canonical float32 CSR, dense ones as float32.

    They are a matrix, or Features, whose ids must be these if both have any.

    Raises
    ------
    TypeError
        If they are neither sparse nor a two-dimensional array of numbers.
    DataError
        If they have another number of rows, other ids, values that are not finite, or nothing.
    """
    if isinstance(features, Features):
        known = features.ids
        if ids is not None and known is not None and not same_ids(ids, known):
            raise DataError(
                f"{name} must have the ids of train, row by row; load them with "
                f"ids=train.{name.removesuffix('_features')}_ids"
            )
        features = features.matrix
    if not sp.issparse(features):
        return _check_dense(name, features, n_rows)
    if features.shape[0] != n_rows:
        raise DataError(f"{name} must have {n_rows} rows, got {features.shape[0]}")
    matrix = check_matrix(name, features, kind=FEATURES, own=True, stacklevel=5)
    if matrix.nnz == 0:
        raise DataError(f"{name} must have at least one feature of one object, got none")
    return matrix


def _check_dense(name: str, features: Any, n_rows: int) -> np.ndarray:
    dense = np.asarray(features)
    if dense.ndim != 2 or dense.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must be a scipy.sparse matrix or a two-dimensional array of numbers, got "
            f"{type(features).__name__}{FEATURES.reading_hint(features)}"
        )
    if dense.shape[0] != n_rows or dense.shape[1] == 0:
        raise DataError(f"{name} must have {n_rows} rows and a column at least, got {dense.shape}")
    dense = dense.astype(np.float32)
    if not np.isfinite(dense).all():
        at = np.argwhere(~np.isfinite(dense))[0]
        raise DataError(
            f"{name} must be finite in single precision, got {dense[tuple(at)]} at row {at[0]}, "
            f"column {at[1]}"
        )
    if not dense.any():
        raise DataError(f"{name} must have at least one feature of one object, got none")
    return dense
