"""The format ``npz``: a matrix saved by ``scipy.sparse.save_npz``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..._validation.matrices import check_matrix
from ...errors import DataError
from .pairs import INTERACTIONS, Format, PairKind, Pairs, stack_level


def _read(path: Path, kind: PairKind) -> Pairs:
    """Read a matrix. Its row and column numbers are the ids, but the rows of features have none."""
    try:
        with path.open("rb") as file:
            saved = sp.load_npz(file)
    except (ValueError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a sparse matrix saved by scipy: {error}") from error
    matrix = check_matrix(str(path), saved, kind=kind.matrix, stacklevel=stack_level() + 1)
    row_ids, column_ids = (np.arange(size, dtype=np.int64) for size in matrix.shape)
    rows = np.repeat(row_ids, np.diff(matrix.indptr))
    has_ids = kind is INTERACTIONS
    return Pairs(rows, row_ids, matrix.indices, column_ids, matrix.data, rows_have_ids=has_ids)


NPZ = Format("npz", _read, extensions=(".npz",))
