"""Rows of interactions: one row takes a shorter way than several, with the same outcome."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast.data._alignment import interaction_rows
from cml_fast.errors import DataError

USERS, ITEMS = np.arange(3), np.arange(4)
# Values and columns of the row that is asked for, the second of three.
CASES = {
    "good": ([1.0, 2.0], [0, 3]),
    "empty": ([], []),
    "not in order": ([1.0, 2.0], [3, 0]),
    "twice": ([1.0, 2.0], [3, 3]),
    "zero": ([0.0, 2.0], [0, 3]),
    "tiny": ([1e-300, 2.0], [0, 3]),
    "negative": ([1.0, -2.0], [0, 3]),
    "NaN": ([np.nan, 2.0], [0, 3]),
    "infinite": ([1.0, np.inf], [0, 3]),
    "above float32": ([1.0, 1e39], [0, 3]),
    "column too large": ([1.0, 2.0], [0, 4]),
    "column negative": ([1.0, 2.0], [-1, 3]),
}
REFUSED = (
    *("negative", "NaN", "infinite", "above float32"),
    *("column too large", "column negative"),
)


def outcome(matrix: sp.csr_array, rows: list[int]) -> tuple[object, ...]:
    """Return the first row, or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = interaction_rows("exclude", matrix, np.array(rows), USERS, ITEMS)
        except DataError as error:
            return (str(error),)
    first = slice(0, found.indptr[1])
    return found.data[first].tolist(), found.indices[first].tolist(), found.dtype, len(caught)


@pytest.mark.parametrize("value_type", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_one_row_has_the_outcome_of_several(case: str, value_type: type) -> None:
    values, columns = CASES[case]
    with np.errstate(over="ignore"):
        data = np.array([1.0, *values, 1.0]).astype(value_type)
    indices = np.array([2, *columns, 1], dtype=np.int32)
    matrix = sp.csr_array((3, 4), dtype=value_type)
    # Past scipy's own checks.
    matrix.data, matrix.indices = data, indices
    matrix.indptr = np.array([0, 1, 1 + len(values), 2 + len(values)], dtype=np.int32)
    one, several = outcome(matrix, [1]), outcome(matrix, [1, 0])
    assert one == several
    assert (len(one) == 1) == (case in REFUSED)
