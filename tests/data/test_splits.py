"""Every kind of split: nothing is lost, the right ones are held out, and the report counts them."""

from __future__ import annotations

import copy
import datetime
import hashlib
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_fast.data import (
    Interactions,
    Split,
    k_fold,
    leave_one_out,
    split,
    split_by_time,
    split_items,
    split_last,
    split_users,
    synthetic,
)
from cml_fast.data.splitting import SPLITS
from cml_fast.errors import DataError

# Calls that need no more arguments than what to split.
CALLS: dict[str, Callable[[Any], Split[Any]]] = {
    "split": split,
    "split_by_time": partial(split_by_time, test_size=0.3),
    "split_last": partial(split_last, test_size=0.3),
    "leave_one_out": leave_one_out,
    "split_users": partial(split_users, test_size=0.3),
    "split_items": partial(split_items, test_size=0.3),
    "k_fold": lambda interactions: next(k_fold(interactions, 3)),
}
WITHOUT_TIME = sorted(CALLS.keys() - {"split_by_time", "split_last"})


def made(n_times: int = 50, seed: int = 0) -> Interactions:
    """Interactions whose weights are all different, at a few moments; some have none at all."""
    rng = np.random.default_rng(seed)
    matrix = sp.csr_array(rng.random((30, 20)) < rng.random((30, 1)) ** 2)
    matrix = sp.csr_array(matrix, dtype=np.float32)
    matrix.data[:] = 1 + rng.permutation(matrix.nnz)
    return Interactions(
        matrix,
        [f"user {number}" for number in range(30)],
        np.arange(100, 120),
        rng.integers(0, n_times, matrix.nnz),
    )


def entries(part: Interactions) -> dict[tuple[Any, Any], tuple[float, Any]]:
    """Weight and time of each pair of ids."""
    pairs = part.matrix.tocoo()
    users, items = part.user_ids[pairs.row].tolist(), part.item_ids[pairs.col].tolist()
    what = zip(part.matrix.data.tolist(), part.timestamps.tolist(), strict=True)
    return dict(zip(zip(users, items, strict=True), what, strict=True))


def times_by_user(part: Interactions) -> list[list[int]]:
    bounds = part.matrix.indptr[1:-1]
    return [sorted(times.tolist()) for times in np.split(part.timestamps, bounds)]


def test_all_kinds_are_tried() -> None:
    assert {function.__name__ for function in SPLITS} | {"k_fold"} == CALLS.keys()


@pytest.mark.parametrize("kind", CALLS)
def test_every_interaction_is_in_one_part_with_all_that_belongs_to_it(kind: str) -> None:
    whole = made()
    before = copy.deepcopy(entries(whole))
    parts = CALLS[kind](whole)
    found: dict[Any, Any] = {}
    for number, part in enumerate(parts):
        assert part.matrix.shape == whole.matrix.shape
        assert part.matrix.dtype == np.float32
        assert part.matrix.has_sorted_indices
        np.testing.assert_array_equal(part.user_ids, whole.user_ids)
        np.testing.assert_array_equal(part.item_ids, whole.item_ids)
        mine = entries(part)
        assert mine.keys().isdisjoint(found)
        found |= mine
        assert part.matrix.nnz > 0
        np.testing.assert_array_equal(part.matrix.data, whole.matrix.data[parts.part_of == number])
    assert found == before == entries(whole)


@pytest.mark.parametrize("kind", CALLS)
def test_the_report_counts(kind: str) -> None:
    parts = CALLS[kind](made())
    report = parts.report
    keys = [list(entries(part)) for part in parts]
    assert report.interactions == tuple(map(len, keys))
    assert report.users == tuple(len({user for user, _ in part}) for part in keys)
    assert report.items == tuple(len({item for _, item in part}) for part in keys)
    known_users, known_items = ({pair[axis] for pair in keys[0]} for axis in (0, 1))
    rest = [pair for part in keys[1:] for pair in part]
    lost = [pair for pair in rest if pair[0] not in known_users or pair[1] not in known_items]
    counts = report.counts
    assert counts["users_without_training"] == len({user for user, _ in rest} - known_users)
    assert counts["items_without_training"] == len({item for _, item in rest} - known_items)
    assert counts["interactions_without_training"] == len(lost)
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(parts)]] == list(report.names)
    numbers = [line.rsplit(": ", 1)[1] for line in lines[1 + len(parts) :]]
    assert sorted(numbers) == sorted(str(count) for count in counts.values() if count)


@pytest.mark.parametrize("kind", WITHOUT_TIME)
@pytest.mark.parametrize("format", [sp.csr_array, sp.coo_array, sp.csr_matrix, sp.lil_matrix])
def test_matrices_are_split_like_interactions(kind: str, format: type) -> None:
    whole = made()
    parts = CALLS[kind](format(whole.matrix))
    wanted = sp.csr_matrix if issubclass(format, sp.spmatrix) else sp.csr_array
    for part, expected in zip(parts, CALLS[kind](whole), strict=True):
        assert type(part) is wanted
        np.testing.assert_array_equal(part.toarray(), expected.matrix.toarray())


@pytest.mark.parametrize("kind", WITHOUT_TIME)
def test_timestamps_may_be_absent(kind: str) -> None:
    whole = made()
    plain = Interactions(whole.matrix, whole.user_ids, whole.item_ids)
    parts = CALLS[kind](plain)
    assert all(part.timestamps is None for part in parts)
    np.testing.assert_array_equal(parts.part_of, CALLS[kind](whole).part_of)


@pytest.mark.parametrize(
    "call",
    [
        partial(split_by_time, test_size=0.2),
        partial(split_by_time, at=3),
        split_last,
        partial(leave_one_out, which="last"),
    ],
)
def test_time_is_asked_for_by_name(call: Callable[[Any], Any]) -> None:
    whole = made()
    for without in (whole.matrix, Interactions(whole.matrix, whole.user_ids, whole.item_ids)):
        with pytest.raises(DataError, match=r"needs timestamps.*load_interactions as timestamp="):
            call(without)


@pytest.mark.parametrize("kind", sorted(CALLS.keys() - {"split_by_time"}))
def test_a_seed_gives_the_same_parts(kind: str) -> None:
    call = {**CALLS, "split_last": split_last, "k_fold": lambda x, **a: next(k_fold(x, 3, **a))}
    function = getattr(call[kind], "func", call[kind])
    whole = made(n_times=3)
    one, two, other = (function(whole, random_state=seed).part_of for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_a_split_can_be_copied_and_pickled() -> None:
    parts = split(made())
    for again in (copy.deepcopy(parts), pickle.loads(pickle.dumps(parts))):
        assert again.report == parts.report
        np.testing.assert_array_equal(again.part_of, parts.part_of)
        assert [entries(part) for part in again] == [entries(part) for part in parts]
    assert repr(parts).startswith("Split(train=Interactions(30 users x 20 items, ")


@pytest.mark.parametrize(
    ("fractions", "names"),
    [
        ((1,), ("train",)),
        ((0.5, 0.5), ("train", "test")),
        ((0.6, 0.2, 0.2), ("train", "validation", "test")),
        ((0.25,) * 4, ("train", "part 1", "part 2", "part 3")),
    ],
)
def test_names_of_parts(fractions: tuple[float, ...], names: tuple[str, ...]) -> None:
    parts = split(made(), fractions)
    assert parts.report.names == names
    assert len(parts) == len(names)


def test_the_random_split_is_that_of_the_first_release() -> None:
    likes = synthetic(300, 200, 6000, random_state=1).interactions.matrix
    digest = hashlib.sha256()
    for fractions in ((0.6, 0.2, 0.2), (0.8, 0.2)):
        for part in split(likes, fractions, random_state=5):
            for array in (part.indptr, part.indices):
                digest.update(array.astype("<i8").tobytes())
            digest.update(part.data.tobytes())
    assert digest.hexdigest() == (
        "d97a894e81cc7aa57b8dc1d99177df1ef6d50e7921ff79ebc2d5ca2fe91c433b"
    )


def test_users_with_too_few_for_a_random_split_are_counted() -> None:
    matrix = sp.csr_array(np.arange(6)[:, None] > np.arange(6), dtype=np.float32)
    assert split(matrix).report.counts["users_with_too_few"] == 4  # one has none
    assert split(matrix, min_interactions=0).report.counts["users_with_too_few"] == 0


# By time


@settings(max_examples=60, deadline=None)
@given(
    n_times=st.integers(2, 200),
    test_size=st.one_of(st.integers(1, 50), st.floats(0.02, 0.7)),
    seed=st.integers(0, 99),
)
def test_by_time_the_latest_are_for_the_test(n_times: int, test_size: float, seed: int) -> None:
    whole = made(n_times, seed)
    times = sorted(whole.timestamps.tolist(), reverse=True)
    wanted = test_size if isinstance(test_size, int) else int(test_size * len(times) + 0.5)
    border = times[wanted - 1]
    if border == times[-1]:
        with pytest.raises(DataError, match="leaves nothing for training"):
            split_by_time(whole, test_size)
        return
    train, test = parts = split_by_time(whole, test_size)
    assert train.timestamps.max() < test.timestamps.min() == border
    assert parts.report.counts["ties_moved"] == test.matrix.nnz - wanted >= 0


def test_by_time_at_a_moment() -> None:
    whole = made()
    train, test = parts = split_by_time(whole, at=30)
    assert train.timestamps.max() == 29
    assert test.timestamps.min() == 30
    assert parts.report.counts["ties_moved"] == 0
    assert split_by_time(whole, at=29.5).report == parts.report


@pytest.mark.parametrize(
    "at",
    [
        "2020-01-31",
        "2020-01-31T01:00+01:00",
        datetime.date(2020, 1, 31),
        datetime.datetime(2020, 1, 31),
        datetime.datetime(2020, 1, 31, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        np.datetime64("2020-01-31"),
    ],
)
def test_by_time_at_a_datetime(at: Any) -> None:
    days = np.datetime64("2020-01-01") + np.arange(40)
    whole = Interactions.from_arrays(np.zeros(40, int), np.arange(40), timestamps=days)
    train, test = split_by_time(whole, at=at)
    assert (train.matrix.nnz, test.matrix.nnz) == (30, 10)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ValueError, "give either test_size or at"),
        ({"test_size": 0.2, "at": 3}, ValueError, "give either test_size or at"),
        ({"test_size": 0}, ValueError, "test_size must be at least 1"),
        ({"test_size": 1.0}, ValueError, "test_size must be a share between 0 and 1"),
        ({"test_size": -0.5}, ValueError, "test_size must be a finite number above 0"),
        ({"test_size": "0.2"}, TypeError, "test_size must be an integer"),
        ({"test_size": 1e-9}, DataError, "test_size=1e-09 leaves nothing for the test"),
        ({"test_size": 10**9}, DataError, "leaves nothing for training.*from 0 to 49"),
        ({"at": 0}, DataError, "at=0 leaves nothing for training.*from 0 to 49"),
        ({"at": 50}, DataError, "at=50 leaves nothing for the test"),
        ({"at": float("nan")}, DataError, "at=nan leaves nothing for the test"),
        ({"at": "2020-01-01"}, TypeError, "at must be a number, as the timestamps are numbers"),
        ({"at": True}, TypeError, "at must be a number"),
    ],
)
def test_by_time_arguments(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        split_by_time(made(), **arguments)


@pytest.mark.parametrize("at", [3, "yesterday", np.datetime64("NaT"), ["2020-01-01"]])
def test_by_time_needs_a_datetime_for_datetimes(at: Any) -> None:
    days = np.datetime64("2020-01-01") + np.arange(2)
    whole = Interactions.from_arrays([1, 2], [1, 2], timestamps=days)
    with pytest.raises(TypeError, match="at must be a datetime or a text like"):
        split_by_time(whole, at=at)


# The last of each user, and one of each


@settings(max_examples=60, deadline=None)
@given(
    n_times=st.integers(1, 200),
    test_size=st.one_of(st.integers(1, 6), st.floats(0.02, 0.98)),
    min_interactions=st.integers(0, 8),
    seed=st.integers(0, 99),
)
def test_last_of_each_user(
    n_times: int, test_size: float, min_interactions: int, seed: int
) -> None:
    whole = made(n_times, seed)
    train, test = parts = split_last(whole, test_size, min_interactions=min_interactions)
    too_few = ties = 0
    for times, early, late in zip(*map(times_by_user, (whole, train, test)), strict=True):
        n = test_size if isinstance(test_size, int) else int(test_size * len(times) + 0.5)
        if n >= len(times) or len(times) < min_interactions:
            n = 0
        assert late == times[len(times) - n :]
        assert early == times[: len(times) - n]
        too_few += bool(times) and n == 0
        ties += n > 0 and early[-1] == late[0]
    assert parts.report.counts["users_with_too_few"] == too_few
    assert parts.report.counts["users_with_ties"] == ties


def test_ties_are_broken_at_random() -> None:
    shape = (4000, 5)
    whole = Interactions(
        sp.csr_array(np.ones(shape)), np.arange(4000), np.arange(5), np.zeros(20_000)
    )
    parts = split_last(whole, 1)
    np.testing.assert_allclose(parts[1].matrix.sum(axis=0) / 4000, 0.2, atol=0.03)
    assert parts.report.counts["users_with_ties"] == 4000


def test_one_of_each_user_at_random() -> None:
    train, test = parts = leave_one_out(sp.csr_array(np.ones((4000, 5))))
    assert (np.diff(test.indptr) == 1).all()
    np.testing.assert_allclose(test.sum(axis=0) / 4000, 0.2, atol=0.03)
    assert parts.report.counts["users_with_too_few"] == 0
    assert train.nnz == 16_000


def test_the_last_one_of_each_user() -> None:
    whole = made(1000)
    one, other = leave_one_out(whole, "last"), split_last(whole)
    np.testing.assert_array_equal(one.part_of, other.part_of)
    assert one.report == other.report


def test_who_has_only_one_keeps_it() -> None:
    matrix = sp.csr_array([[1.0, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]])
    parts = leave_one_out(matrix, min_interactions=0)
    assert np.diff(parts[1].indptr).tolist() == [0, 1, 0, 1]
    assert parts.report.counts["users_with_too_few"] == 1
    parts = leave_one_out(matrix, min_interactions=3)
    assert np.diff(parts[1].indptr).tolist() == [0, 0, 0, 1]
    assert parts.report.counts["users_with_too_few"] == 2


@pytest.mark.parametrize(
    ("call", "arguments", "error", "match"),
    [
        (leave_one_out, {"which": "first"}, ValueError, "which must be one of"),
        (leave_one_out, {"min_interactions": -1}, ValueError, "min_interactions must be"),
        (leave_one_out, {"random_state": 0.5}, TypeError, "random_state must be"),
        (split_last, {"test_size": 1.5}, ValueError, "test_size must be a share"),
        (split_last, {"min_interactions": 2.5}, TypeError, "min_interactions must be"),
        (split_users, {"test_size": 100}, ValueError, r"test_size=100 is \d+ of \d+ users"),
        (split_users, {"test_size": 0.001}, ValueError, r"is 0 of \d+ users"),
        (split_items, {"test_size": 20}, ValueError, "test_size=20 is 20 of 20 items"),
        (k_fold, {"n_splits": 1}, ValueError, "n_splits must be at least 2"),
        (k_fold, {"n_splits": 10**6}, ValueError, r"is more than the \d+ interactions of users"),
        (k_fold, {"n_splits": 21, "by": "items"}, ValueError, "more than the 20 items"),
        (k_fold, {"n_splits": 31, "by": "users"}, ValueError, r"more than the \d+ users"),
        (k_fold, {"by": "time"}, ValueError, "by must be one of"),
        *(
            (call, {"interactions": np.ones((3, 3))}, TypeError, "interactions must be a scipy")
            for call in CALLS.values()
        ),
        *(
            (CALLS[kind], {"interactions": sp.csr_array([[-1.0, 1]])}, DataError, "negative")
            for kind in WITHOUT_TIME
        ),
    ],
)
def test_arguments(call: Any, arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call(**{"interactions": made(), **arguments})


@pytest.mark.parametrize("kind", WITHOUT_TIME)
def test_warnings_point_at_the_caller(kind: str) -> None:
    matrix = made().matrix.copy()
    matrix.data[3] = 0
    function = {"k_fold": partial(k_fold, n_splits=3)}.get(kind, CALLS[kind])
    with pytest.warns(UserWarning, match="interactions: 1 explicit zeros") as caught:
        function(matrix)
    assert caught[0].filename == __file__


# Whole users and items


@pytest.mark.parametrize(("test_size", "n_test"), [(4, 4), (0.3, None)])
@pytest.mark.parametrize("what", ["users", "items"])
def test_all_interactions_of_some_are_held_out(
    what: str, test_size: float, n_test: int | None
) -> None:
    whole = made()
    axis = ["users", "items"].index(what)
    everyone = {pair[axis] for pair in entries(whole)}
    train, test = parts = [split_users, split_items][axis](whole, test_size)
    known, new = ({pair[axis] for pair in entries(part)} for part in (train, test))
    assert known.isdisjoint(new)
    assert known | new == everyone
    assert len(new) == (n_test or round(test_size * len(everyone)))
    assert parts.report.counts[f"{what}_without_training"] == len(new)
    assert parts.report.counts["interactions_without_training"] == test.matrix.nnz


# Folds


def test_folds_of_each_users_interactions() -> None:
    whole = made()
    sizes = np.diff(whole.matrix.indptr)
    folds = list(k_fold(whole, 4))
    assert len(folds) == 4
    tested = sum(fold.part_of for fold in folds)
    assert tested.tolist() == np.repeat(sizes > 1, sizes).tolist()
    per_user = np.array([np.diff(test.matrix.indptr) for _, test in folds])
    assert (np.ptp(per_user, axis=0) <= 1).all()
    assert np.ptp([test.matrix.nnz for _, test in folds]) <= 1
    for train, test in folds:
        assert (np.diff(train.matrix.indptr)[sizes > 0] > 0).all()
        assert train.matrix.nnz + test.matrix.nnz == whole.matrix.nnz
    assert folds[0].report.counts["users_with_too_few"] == np.count_nonzero(sizes == 1) > 0


def test_which_fold_an_interaction_is_in_is_random() -> None:
    folds = k_fold(sp.csr_array(np.ones((3000, 6))), 3)
    for _, test in folds:
        np.testing.assert_allclose(test.sum(axis=0) / 3000, 1 / 3, atol=0.04)


@pytest.mark.parametrize("by", ["users", "items"])
def test_folds_of_whole_users_and_items(by: str) -> None:
    whole = made()
    axis = ["users", "items"].index(by)
    folds = list(k_fold(whole, 3, by=by))
    assert (sum(fold.part_of for fold in folds) == 1).all()
    new = [{pair[axis] for pair in entries(test)} for _, test in folds]
    assert sum(map(len, new)) == len(set.union(*new))
    assert np.ptp([len(one) for one in new]) <= 1
    for fold, own in zip(folds, new, strict=True):
        assert own.isdisjoint(pair[axis] for pair in entries(fold[0]))
        assert fold.report.counts[f"{by}_without_training"] == len(own)


def test_folds_are_made_one_at_a_time_but_checked_at_once() -> None:
    assert not isinstance(k_fold(made()), (list, tuple))
    with pytest.raises(ValueError, match="n_splits"):
        k_fold(made(), 0)  # not only when the first is asked for
