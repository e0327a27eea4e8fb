"""The checks of arguments: what passes, and that every refusal names the fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast._validation.matrices import MAX_OBJECTS, check_matrix, check_rows
from cml_fast._validation.scalars import check_int, check_random_state, check_real
from cml_fast.errors import DataError

DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0.5, 4]], dtype=np.float32)
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def arrays_of(matrix: Any) -> dict[str, np.ndarray]:
    names = ("data", "indices", "indptr", "row", "col", "offsets", "rows")
    return {name: getattr(matrix, name) for name in names if hasattr(matrix, name)}


def assert_canonical(got: sp.csr_array, dense: np.ndarray) -> None:
    assert isinstance(got, sp.csr_array)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.toarray(), dense)
    assert got.nnz == np.count_nonzero(dense)
    # A new object, because scipy remembers what it once found of an old one.
    fresh = sp.csr_array((got.data, got.indices, got.indptr), shape=got.shape)
    assert fresh.has_canonical_format


def with_index_type(matrix: Any, dtype: type) -> Any:
    for name in ("indices", "indptr"):
        if hasattr(matrix, name):
            setattr(matrix, name, getattr(matrix, name).astype(dtype))
    if matrix.format == "coo":
        matrix.row, matrix.col = matrix.row.astype(dtype), matrix.col.astype(dtype)
    return matrix


# Matrices


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("value_type", [np.float32, np.float64, np.int8, np.uint64, bool])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("format", FORMATS)
def test_any_format(format: str, container: type, value_type: type, index_type: type) -> None:
    dense = DENSE.astype(value_type)
    matrix = container(dense).asformat(format)
    if format in ("bsr", "dia"):  # they keep zeros, which are counted elsewhere
        dense = np.eye(3, dtype=value_type)
        matrix = container(dense).asformat(format)
    matrix = with_index_type(matrix, index_type)
    before = {name: array.copy() for name, array in arrays_of(matrix).items()}
    got = check_matrix("m", matrix)
    assert_canonical(got, dense.astype(np.float32))
    for name, array in arrays_of(matrix).items():
        np.testing.assert_array_equal(array, before[name])
        assert array.dtype == before[name].dtype


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("value_type", [np.float32, np.float64])
def test_a_good_csr_is_not_copied(index_type: type, value_type: type) -> None:
    matrix = with_index_type(sp.csr_array(DENSE.astype(value_type)), index_type)
    got = check_matrix("m", matrix)
    assert got is not matrix
    assert np.shares_memory(got.indices, matrix.indices)
    assert np.shares_memory(got.indptr, matrix.indptr)


def test_unsorted_csr() -> None:
    matrix = sp.csr_array(
        (np.array([1.0, 2, 4, 0.5, 3]), np.array([3, 1, 3, 2, 0]), np.array([0, 2, 2, 5])),
        shape=(3, 4),
    )
    assert_canonical(check_matrix("m", matrix), DENSE)
    assert matrix.indices.tolist() == [3, 1, 3, 2, 0]


def test_what_scipy_remembers_of_a_matrix_is_not_trusted() -> None:
    matrix = sp.csr_array(DENSE)
    assert matrix.has_canonical_format
    matrix.indices[:2] = [3, 1]
    expected = DENSE.copy()
    expected[0] = [0, 1, 0, 2]
    assert_canonical(check_matrix("m", matrix), expected)


def test_longer_arrays_than_entries() -> None:
    matrix = sp.csr_array(DENSE)
    matrix.indices = np.append(matrix.indices, 77)
    matrix.data = np.append(matrix.data, np.float32(np.nan))
    assert_canonical(check_matrix("m", matrix), DENSE)
    assert matrix.indices.size == 6


def duplicated(format: str) -> Any:
    rows, columns = np.array([0, 2, 0, 0]), np.array([1, 0, 1, 1])
    values = np.array([1.0, 5, 2, 4])
    if format == "coo":
        return sp.coo_array((values, (rows, columns)), shape=(3, 4))
    if format == "csr":
        indptr = np.array([0, 3, 3, 4])
        return sp.csr_array((values[[0, 2, 3, 1]], np.array([1, 1, 1, 0]), indptr), shape=(3, 4))
    indptr = np.array([0, 1, 4, 4, 4])
    return sp.csc_array((values[[1, 0, 2, 3]], np.array([2, 0, 0, 0]), indptr), shape=(3, 4))


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_duplicates_are_counted_and_added(format: str) -> None:
    matrix = duplicated(format)
    with pytest.warns(UserWarning, match=r"^m: 2 duplicate entries were merged") as caught:
        got = via_caller(matrix)
    assert caught[0].filename == __file__
    assert caught[0].lineno == via_caller_line()
    assert_canonical(got, np.array([[0, 7, 0, 0], [0, 0, 0, 0], [5, 0, 0, 0]]))
    assert matrix.nnz == 4


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_zeros_are_counted_and_dropped(format: str) -> None:
    matrix = sp.csr_array(DENSE).asformat(format)
    matrix.data = matrix.data.astype(np.float64)
    matrix.data[1] = 0
    matrix.data[2] = 1e-60  # zero in float32
    before = matrix.data.copy()
    expected = DENSE.copy()
    kept = matrix.tocoo()
    expected[kept.row[1:3], kept.col[1:3]] = 0
    with pytest.warns(UserWarning, match=r"^m: 2 explicit zeros were dropped") as caught:
        got = via_caller(matrix)
    assert caught[0].lineno == via_caller_line()
    assert_canonical(got, expected)
    np.testing.assert_array_equal(matrix.data, before)
    assert matrix.nnz == 5


def test_dropping_zeros_leaves_shared_arrays_alone() -> None:
    matrix = sp.csr_array(DENSE)
    matrix.data[0] = 0
    before = {name: array.copy() for name, array in arrays_of(matrix).items()}
    with pytest.warns(UserWarning, match="1 explicit zeros"):
        check_matrix("m", matrix)
    for name, array in arrays_of(matrix).items():
        np.testing.assert_array_equal(array, before[name])


def via_caller(matrix: Any) -> sp.csr_array:
    return public_function(matrix)


def public_function(matrix: Any) -> sp.csr_array:
    return check_matrix("m", matrix)


def via_caller_line() -> int:
    """The line that warnings should point at: where the function that checks is called."""
    return via_caller.__code__.co_firstlineno + 1


def test_stacklevel() -> None:
    with pytest.warns(UserWarning) as caught:
        check_matrix("m", duplicated("csr"), stacklevel=2)
    assert caught[0].filename == __file__
    assert caught[0].lineno == test_stacklevel.__code__.co_firstlineno + 2


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "lil"])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "NaN or infinite"),
        (np.inf, "NaN or infinite"),
        (-np.inf, "NaN or infinite"),
        (1e39, "NaN or infinite"),  # infinite in float32
        (-0.25, "negative"),
    ],
)
def test_values_at_fault_are_named_with_their_place(format: str, value: float, what: str) -> None:
    dense = DENSE.astype(np.float64)
    dense[2, 2] = value
    match = rf"^m has 1 {what} values, the first at row 2, column 2;"
    with pytest.raises(DataError, match=match):
        check_matrix("m", sp.csr_array(dense).asformat(format))


def test_all_faults_are_counted_even_those_that_duplicates_hide() -> None:
    matrix = sp.csr_array(([3.0, -1, -1], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert matrix.nnz == 2
    matrix = sp.coo_array(([3.0, -1, -1], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    with pytest.raises(DataError, match="2 negative values, the first at row 0, column 1"):
        check_matrix("m", matrix)


def test_duplicates_that_overflow() -> None:
    matrix = sp.coo_array(([3e38, 3e38], ([0, 0], [1, 1])), shape=(2, 2))
    with (
        pytest.warns(UserWarning, match="1 duplicate"),
        pytest.raises(DataError, match="merging duplicate entries gave"),
    ):
        check_matrix("m", matrix)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "bsr"])
@pytest.mark.parametrize("index", [-1, 4, 2**31 - 1])
def test_indices_out_of_range(format: str, index: int) -> None:
    matrix = sp.csr_array(DENSE).asformat(format)
    (matrix.col if format == "coo" else matrix.indices)[1] = index
    with pytest.raises(DataError, match=r"^m (has row or column indices outside|is damaged)"):
        check_matrix("m", matrix)


def test_row_numbers_out_of_range() -> None:
    matrix = sp.coo_array(DENSE)
    matrix.row[0] = 3
    with pytest.raises(DataError, match=r"outside its shape \(3, 4\)"):
        check_matrix("m", matrix)


@pytest.mark.parametrize("format", ["csr", "csc"])
@pytest.mark.parametrize(
    "change",
    [
        lambda indptr: indptr[:-1],
        lambda indptr: np.append(indptr, indptr[-1]),
        lambda indptr: indptr + 1,
        lambda indptr: np.where(np.arange(indptr.size) == 1, 5000, indptr),
        lambda indptr: np.where(np.arange(indptr.size) == 1, -5000, indptr),
        lambda indptr: indptr * 100,
        lambda indptr: indptr[::-1],
        lambda indptr: indptr[:, None],
    ],
)
def test_wrong_indptr(format: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    matrix = sp.csr_array(DENSE).asformat(format)
    matrix.indptr = change(matrix.indptr)
    with pytest.raises(DataError, match="m is damaged: its indptr must have"):
        check_matrix("m", matrix)


@pytest.mark.parametrize("format", FORMATS)
def test_no_entries(format: str) -> None:
    got = check_matrix("m", sp.csr_array((3, 4)).asformat(format))
    assert got.shape == (3, 4)
    assert got.nnz == 0
    assert got.dtype == np.float32


@pytest.mark.parametrize("dense", [[[5]], [[0, 1]], [[1], [0]], [[0, 0], [0, 1], [0, 0]]])
def test_few_entries(dense: list[list[int]]) -> None:
    assert_canonical(check_matrix("m", sp.csr_array(np.array(dense))), np.array(dense))


@pytest.mark.parametrize(
    ("matrix", "error", "match"),
    [
        (DENSE, TypeError, "ndarray; wrap it: scipy.sparse.csr_array"),
        (None, TypeError, "m must be a scipy.sparse matrix of users x items, got NoneType"),
        ([[1]], TypeError, "got list$"),
        ("a.csv", TypeError, "got str; cml_fast.data.load_interactions reads files and data"),
        (Path("a"), TypeError, "Path; cml_fast.data.load_interactions reads files and data frames"),
        (SimpleNamespace(columns=["a"]), TypeError, "load_interactions reads files and data"),
        (sp.csr_array((0, 4)), DataError, r"at least one user and one item, got \(0, 4\)"),
        (sp.csr_array((3, 0)), DataError, r"at least one user and one item, got \(3, 0\)"),
        (sp.csr_array((3, 5)), DataError, r"must have shape \(3, 4\) .* got \(3, 5\)"),
        (sp.csr_array((4, 3)), DataError, r"must have shape \(3, 4\) .* got \(4, 3\)"),
        (sp.coo_array((2**31, 1)), DataError, "at most 2147483647 users and items"),
        (sp.csr_array(DENSE * 1j), TypeError, "real numbers, got dtype complex"),
    ],
)
def test_refused_matrices(matrix: Any, error: type[Exception], match: str) -> None:
    shape = (3, 4) if "must have shape" in match else None
    with pytest.raises(error, match=match):
        check_matrix("m", matrix, shape)


def test_one_dimension() -> None:
    matrix = sp.coo_array(np.ones(3))
    if matrix.ndim == 2:
        pytest.skip("this release of scipy has no sparse arrays of one dimension")
    with pytest.raises(DataError, match="two dimensions"):
        check_matrix("m", matrix)


# Numbers


@pytest.mark.parametrize("value", [2, 7, np.int8(5), np.uint64(3)])
def test_int(value: Any) -> None:
    got = check_int("n", value, 2, 7)
    assert type(got) is int
    assert got == value


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (1, ValueError, "n must be between 2 and 7, got 1"),
        (np.int64(8), ValueError, "n must be between 2 and 7"),
        (2**70, ValueError, "n must be between 2 and 7"),
        (3.0, TypeError, r"n must be an integer, got 3.0 \(float\)"),
        ("3", TypeError, "n must be an integer"),
        (True, TypeError, "n must be an integer"),
        (np.True_, TypeError, "n must be an integer"),
        (None, TypeError, "n must be an integer"),
        (np.array(3), TypeError, "n must be an integer"),
    ],
)
def test_no_int(value: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_int("n", value, 2, 7)


def test_int_without_upper_bound() -> None:
    assert check_int("n", MAX_OBJECTS * 10, 0) == MAX_OBJECTS * 10
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        check_int("n", -1, 0)


@pytest.mark.parametrize("value", [0.5, 3, np.float32(1.5), np.int8(1)])
def test_real(value: Any) -> None:
    got = check_real("x", value, 0.5)
    assert type(got) is float
    assert got == value


@pytest.mark.parametrize(
    ("value", "strict", "error", "match"),
    [
        (0.4, False, ValueError, "x must be a finite number of at least 0.5, got 0.4"),
        (0.5, True, ValueError, "x must be a finite number above 0.5, got 0.5"),
        (float("nan"), False, ValueError, "finite"),
        (float("inf"), False, ValueError, "finite"),
        ("1", False, TypeError, r"x must be a number, got '1' \(str\)"),
        (True, False, TypeError, "x must be a number"),
        (1j, False, TypeError, "x must be a number"),
        (None, False, TypeError, "x must be a number"),
    ],
)
def test_no_real(value: Any, strict: bool, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_real("x", value, 0.5, strict=strict)


# Rows


@pytest.mark.parametrize("rows", [3, [3], (0, 4, 4), range(5), np.array([1, 2], np.uint8), [], ()])
def test_rows(rows: Any) -> None:
    got = check_rows("users", rows, 5)
    assert got.dtype == np.int64
    assert got.tolist() == np.atleast_1d(rows).tolist()


@pytest.mark.parametrize(
    ("rows", "error", "match"),
    [
        (5, ValueError, r"users must be in \[0, 5\), got 5"),
        ([0, -1], ValueError, r"users must be in \[0, 5\), got -1"),
        (np.array([2**64 - 1], np.uint64), ValueError, "got 18446744073709551615"),
        ([1.0], TypeError, "array of float64"),
        ([True], TypeError, "array of bool"),
        (["ann"], TypeError, "translate external ids first"),
        ([[1]], TypeError, r"shape \(1, 1\)"),
        (None, TypeError, "array of object"),
    ],
)
def test_no_rows(rows: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_rows("users", rows, 5)


# Random states


def test_random_states() -> None:
    generator = np.random.default_rng(3)
    assert check_random_state(generator) is generator
    for state in (3, np.int64(3), 2**100):
        assert check_random_state(state).random() == np.random.default_rng(int(state)).random()
    one, two = (check_random_state(np.random.RandomState(3)).random() for _ in range(2))
    assert one == two
    legacy = np.random.RandomState(3)
    assert check_random_state(legacy).random() != check_random_state(legacy).random()
    assert check_random_state(None).random() != check_random_state(None).random()


@pytest.mark.parametrize("state", [1.5, "1", True, [1], np.random])
def test_no_random_state(state: Any) -> None:
    with pytest.raises(TypeError, match="random_state must be an integer, None, a numpy"):
        check_random_state(state)


def test_negative_random_state() -> None:
    with pytest.raises(ValueError, match="random_state must be at least 0, got -1"):
        check_random_state(-1)
