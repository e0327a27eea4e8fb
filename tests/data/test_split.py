"""Splitting: every interaction once, per user, in the proportions asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_fast.data import Interactions, load_interactions, split, synthetic
from cml_fast.errors import DataError


def with_degrees(degrees: list[int], n_items: int = 40) -> sp.csr_array:
    """A matrix whose users have these numbers of items, and whose weights are all different."""
    rng = np.random.default_rng(1)
    rows = np.repeat(np.arange(len(degrees)), degrees)
    columns = np.concatenate([rng.permutation(n_items)[:degree] for degree in degrees])
    weights = np.arange(1, rows.size + 1, dtype=np.float32)
    return sp.csr_array((weights, (rows, columns)), shape=(len(degrees), n_items))


def degrees_of(matrix: sp.csr_array) -> np.ndarray:
    return np.diff(matrix.indptr)


def same(one: sp.csr_array, other: sp.csr_array) -> bool:
    return one.shape == other.shape and (one != other).nnz == 0


@settings(max_examples=60, deadline=None)
@given(
    degrees=st.lists(st.integers(0, 40), min_size=1, max_size=20).filter(any),
    numbers=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    min_interactions=st.integers(0, 12),
    seed=st.integers(0, 2**32),
)
def test_parts_are_a_partition_in_proportion(
    degrees: list[int], numbers: list[int], min_interactions: int, seed: int
) -> None:
    matrix = with_degrees(degrees)
    fractions = np.array(numbers) / sum(numbers)
    parts = split(matrix, fractions, random_state=seed, min_interactions=min_interactions)
    assert len(parts) == len(fractions)
    # Weights are all different and positive, so equal sums and counts mean a partition.
    assert same(sum(parts[1:], start=parts[0]), matrix)
    assert sum(part.nnz for part in parts) == matrix.nnz
    is_split = degrees_of(matrix) >= min_interactions
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.has_sorted_indices
        off = degrees_of(part) - fraction * degrees_of(matrix)
        assert (np.abs(off[is_split]) < 1 + 1e-9).all()
        assert (degrees_of(part)[~is_split] == 0).all() or part is parts[0]


def test_few_interactions_are_for_training_only() -> None:
    train, valid, test = split(with_degrees([0, 1, 4, 5, 10]))
    assert degrees_of(train).tolist() == [0, 1, 4, 3, 6]
    assert degrees_of(valid).tolist() == [0, 0, 0, 1, 2]
    assert degrees_of(test).tolist() == [0, 0, 0, 1, 2]


def test_rounding_does_not_favour_a_part() -> None:
    # Six interactions in 0.6, 0.2, 0.2 make 3.6, 1.2 and 1.2: never the same way for everyone.
    parts = split(with_degrees([6] * 4000))
    for part, expected in zip(parts, (3.6, 1.2, 1.2), strict=True):
        assert np.mean(degrees_of(part)) == pytest.approx(expected, abs=0.05)


def test_which_items_go_where_is_random() -> None:
    matrix = sp.csr_array(np.ones((3000, 10), dtype=np.float32))
    test = split(matrix, (0.8, 0.2))[1]
    np.testing.assert_allclose(test.sum(axis=0) / 3000, 0.2, atol=0.04)


def test_interactions_keep_ids_and_weights() -> None:
    whole = Interactions(
        with_degrees([7, 12]), np.array(["ann", "bob"]), np.arange(100, 140, dtype=np.int64)
    )
    before = whole.matrix.copy()
    parts = split(whole, (0.5, 0.5), random_state=3)
    assert all(isinstance(part, Interactions) for part in parts)
    for part in parts:
        np.testing.assert_array_equal(part.user_ids, whole.user_ids)
        np.testing.assert_array_equal(part.item_ids, whole.item_ids)
        assert part.matrix.dtype == np.float32
    assert same(parts[0].matrix + parts[1].matrix, whole.matrix)
    assert same(whole.matrix, before)


@pytest.mark.parametrize(
    ("given_kind", "kind"),
    [
        (sp.csr_array, sp.csr_array),
        (sp.coo_array, sp.csr_array),
        (sp.csr_matrix, sp.csr_matrix),
        (sp.lil_matrix, sp.csr_matrix),
    ],
)
def test_matrices_of_any_format(given_kind: type, kind: type) -> None:
    whole = with_degrees([7, 12, 3])
    parts = split(given_kind(whole))
    assert [type(part) for part in parts] == [kind] * 3
    for part, expected in zip(parts, split(whole), strict=True):
        assert same(sp.csr_array(part), expected)


@pytest.mark.parametrize("state", [7, np.random.default_rng, np.random.RandomState])
def test_same_state_same_parts(state: object) -> None:
    matrix = with_degrees([20, 30, 40])
    one, two = (split(matrix, random_state=state(7) if callable(state) else state) for _ in "ab")
    assert all(same(a, b) for a, b in zip(one, two, strict=True))
    other = split(matrix, random_state=state(8) if callable(state) else 8)
    assert not same(one[0], other[0])


def test_no_state_and_a_used_generator_differ() -> None:
    matrix = with_degrees([40] * 20)
    assert not same(split(matrix, random_state=None)[0], split(matrix, random_state=None)[0])
    for state in (np.random.default_rng(0), np.random.RandomState(0)):
        assert not same(split(matrix, random_state=state)[0], split(matrix, random_state=state)[0])


@pytest.mark.parametrize("fractions", [(0.6, 0.3), (0.6, 0.6), (), (1.2, -0.2), (1.0, 0.0)])
def test_fractions_are_checked(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions must"):
        split(with_degrees([9]), fractions)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"fractions": 0.8}, TypeError, "fractions must be a sequence"),
        ({"fractions": ("0.5", "0.5")}, TypeError, "fractions must be a number"),
        ({"random_state": 1.5}, TypeError, "random_state"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"min_interactions": -1}, ValueError, "min_interactions"),
        ({"min_interactions": 2.5}, TypeError, "min_interactions"),
        ({"interactions": np.ones((3, 3))}, TypeError, "interactions must be a scipy.sparse"),
        ({"interactions": sp.csr_array((0, 3))}, DataError, "at least one user"),
        ({"interactions": sp.csr_array([[-1.0, 1]])}, DataError, "negative"),
    ],
)
def test_arguments_are_checked(
    arguments: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        split(**{"interactions": with_degrees([9]), **arguments})


def test_a_million_interactions_in_thirds() -> None:
    whole = synthetic(20_000, 5_000, 1_000_000).interactions
    parts = split(whole, (1 / 3, 1 / 3, 1 / 3))
    for part in parts:
        assert part.matrix.nnz == pytest.approx(1_000_000 / 3, rel=2e-3)


def test_citeulike(shared_data: Path) -> None:
    whole = load_interactions(shared_data / "citeulike-t" / "users.dat", format="citeulike")
    train, valid, test = split(whole)
    few = np.diff(whole.matrix.indptr) < 5
    assert few.any()
    assert valid.matrix[np.flatnonzero(few)].nnz == test.matrix[np.flatnonzero(few)].nnz == 0
    assert same(train.matrix + valid.matrix + test.matrix, whole.matrix)
    assert valid.matrix.nnz == pytest.approx(test.matrix.nnz, rel=0.02)
