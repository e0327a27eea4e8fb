"""Interactions: made by hand or from arrays, described, turned into tables, saved and loaded."""

from __future__ import annotations

import copy
import datetime
import io
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_fast import Trainer
from cml_fast.data import Interactions, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate

MATRIX = sp.csr_array(np.array([[1, 0, 2], [0, 3, 0]], dtype=np.float32))
DATETIMES = np.datetime64("2020-01-01T00:00:00") + np.arange(3)


def same(one: Interactions, other: Interactions) -> bool:
    """Whether both have the same parts, of the same types."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("user_ids", "item_ids")]
    pairs += [
        (getattr(one.matrix, name), getattr(other.matrix, name))
        for name in ("data", "indices", "indptr")
    ]
    if one.timestamps is None or other.timestamps is None:
        assert one.timestamps is other.timestamps
    else:
        pairs.append((one.timestamps, other.timestamps))
        assert one.timestamps.dtype == other.timestamps.dtype
    return one.matrix.shape == other.matrix.shape and all(
        a.dtype.kind == b.dtype.kind and np.array_equal(a, b) for a, b in pairs
    )


# Made by hand


def pandas_index(values: list[Any]) -> Any:
    return pytest.importorskip("pandas").Index(values)


def objects(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=object)


def arrow_array(values: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").array(values)


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        np.array,
        objects,
        lambda values: np.array(values, dtype=np.uint32),
        lambda values: np.array(values, dtype=np.int16),
        pandas_index,
        arrow_array,
    ],
)
def test_every_place_takes_ids_that_one_takes(kind: Callable[[Any], Any]) -> None:
    likes = synthetic(60, 40, 600).interactions.matrix
    wrapped = Interactions(likes, kind(list(range(0, 600, 10))), kind(list(range(40))))
    assert wrapped.user_ids.dtype == wrapped.item_ids.dtype == np.int64
    model = Trainer(n_dims=8, n_epochs=1, temperature=0.3, verbose=False).fit(wrapped).model_
    other = Interactions(likes, np.arange(0, 600, 10), np.arange(40))
    for one in (wrapped, other):
        assert evaluate(model, one, ks=[5]).recall[5] > 0
        model.recommend([1, 2], exclude=one)


@pytest.mark.parametrize("kind", [list, tuple, np.array, objects, pandas_index, arrow_array])
def test_every_place_takes_texts_that_one_takes(kind: Callable[[Any], Any]) -> None:
    likes = synthetic(60, 40, 600).interactions.matrix
    users, items = [f"user {n}" for n in range(60)], [str(n) for n in range(40)]
    model = Trainer(n_dims=8, n_epochs=1, temperature=0.3, verbose=False).fit(
        Interactions(likes, users, items)
    )
    given = Interactions(likes, kind(users), kind(items))
    assert given.user_ids.tolist() == users
    assert given.item_ids.tolist() == items
    assert evaluate(model.model_, given, ks=[5]).recall[5] > 0
    model.model_.recommend([1, 2], exclude=given)


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
@pytest.mark.parametrize("times", [[10, 30, 20], [1.0, 3.0, 2.0], DATETIMES])
def test_timestamps_are_in_the_order_of_the_values(format: str, times: Any) -> None:
    """Whatever the order of the given matrix; here columns before rows, that is 1, 3, 2."""
    given = MATRIX.asformat(format)
    if format == "coo":
        given = sp.coo_array(([1.0, 3.0, 2.0], ([0, 1, 0], [0, 1, 2])), shape=(2, 3))
    likes = Interactions(given, ["ann", "bob"], [7, 8, 9], times)
    order = [0, 1, 2] if format == "csr" else [0, 2, 1]
    assert likes.timestamps.tolist() == np.array(times)[order].tolist()
    assert likes.matrix.data.tolist() == [1, 2, 3]


def test_unsorted_rows_take_their_timestamps_along() -> None:
    unsorted = sp.csr_array(([2.0, 1.0, 3.0], [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    likes = Interactions(unsorted, [1, 2], [7, 8, 9], [20, 10, 30])
    assert likes.matrix.data.tolist() == [1, 2, 3]
    assert likes.timestamps.tolist() == [10, 20, 30]


def test_duplicates_and_zeros_of_a_matrix() -> None:
    given = sp.coo_array(([1.0, 2.0, 0.0, 1e-60], ([1, 1, 0, 0], [2, 2, 0, 1])), shape=(2, 3))
    with pytest.warns(UserWarning) as caught:
        likes = Interactions(given, [1, 2], [7, 8, 9], [50, 40, 90, 91])
    assert [str(warning.message).split(" (")[0] for warning in caught] == [
        "matrix: 1 duplicate entries were merged by adding their values",
        "matrix: 2 explicit zeros were dropped",
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert likes.matrix.toarray().tolist() == [[0, 0, 0], [0, 0, 3]]
    assert likes.timestamps.tolist() == [50]


def test_what_was_given_is_not_changed() -> None:
    matrix, users = MATRIX.copy(), np.array([3, 4])
    likes = Interactions(matrix, users, [1, 2, 3])
    assert users.flags.writeable
    users[0] = 9
    assert likes.user_ids.tolist() == [3, 4]
    assert matrix.data.tolist() == [1, 2, 3]


def test_copies_and_pickles() -> None:
    likes = Interactions(MATRIX, ["ann", "bob"], [7, 8, 9], DATETIMES)
    assert same(copy.deepcopy(likes), likes)
    assert same(pickle.loads(pickle.dumps(likes)), likes)
    assert likes in {likes: "hashed by identity"}
    assert likes != Interactions(MATRIX, ["ann", "bob"], [7, 8, 9], DATETIMES)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((MATRIX.toarray(), [1, 2], [7, 8, 9]), TypeError, "matrix must be .* wrap it"),
        ((MATRIX, [1], [7, 8, 9]), ValueError, "user_ids must be 2 ids, one for each row .* got 1"),
        ((MATRIX, [1, 2], [7]), ValueError, "item_ids must be 3 ids, one for each column"),
        ((MATRIX, [1, 2.5], [7, 8, 9]), TypeError, "user_ids must be .* integers, or of strings"),
        ((MATRIX, [1, 2], [7, 8, None]), TypeError, "item_ids must be .* integers, or of strings"),
        (
            (MATRIX, np.array([1, 2**64 - 1], np.uint64), [7, 8, 9]),
            ValueError,
            "user_ids must fit into int64",
        ),
        ((MATRIX, [1, 2], [7, 8, 9], [1, 2]), DataError, "timestamps must be 3, .* got 2"),
        ((MATRIX.tolil(), [1, 2], [7, 8, 9], [1, 2, 3]), TypeError, "CSR, CSC or COO .* got lil"),
        ((-MATRIX, [1, 2], [7, 8, 9]), DataError, "matrix has 3 negative values"),
    ],
)
def test_bad_parts(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Interactions(*arguments)


# From arrays


@settings(max_examples=100, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3), st.integers(0, 99)),
        min_size=1,
        max_size=40,
    ),
    texts=st.booleans(),
    weighted=st.booleans(),
)
def test_every_pair_is_there_with_its_weight_and_latest_time(
    pairs: list[tuple[int, int, int, int]], texts: bool, weighted: bool
) -> None:
    kind = str if texts else int
    expected: dict[tuple[Any, Any], list[int]] = {}
    for user, item, weight, time in pairs:
        if weight or not weighted:
            entry = expected.setdefault((kind(user), item), [0, 0])
            entry[0] = entry[0] + weight if weighted else 1
            entry[1] = max(entry[1], time)
    users, items, weights, times = map(list, zip(*pairs, strict=True))
    users = [kind(user) for user in users]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if not expected:
            with pytest.raises(DataError, match="hold no interactions"):
                Interactions.from_arrays(users, items, weights, times)
            return
        likes = Interactions.from_arrays(users, items, weights if weighted else None, times)
    counted = sum(int(str(warning.message).split()[0]) for warning in caught)
    assert counted == len(pairs) - len(expected)
    assert likes.user_ids.tolist() == sorted(set(users))
    assert likes.item_ids.tolist() == sorted(set(items))
    found = likes.matrix.tocoo()
    keys = zip(likes.user_ids[found.row].tolist(), likes.item_ids[found.col].tolist(), strict=True)
    values = zip(found.data.tolist(), likes.timestamps.tolist(), strict=True)
    assert dict(zip(keys, map(list, values), strict=True)) == expected


def test_warnings_count_and_point_at_the_caller() -> None:
    with pytest.warns(UserWarning) as caught:
        Interactions.from_arrays(
            [1, 1, 1, 2, 5], [7, 7, 8, 9, 7], [1, 2, 0, 1, 1], user_ids=[1, 2], unknown="drop"
        )
    assert [str(warning.message) for warning in caught] == [
        "1 of 5 interactions were dropped: their user is not in user_ids or their item not in "
        "item_ids",
        "1 of 4 interactions were dropped: their weight is 0",
        "1 repeated interactions were merged by adding their weights",
    ]
    with pytest.warns(UserWarning, match="2 repeated interactions were merged to one") as more:
        assert Interactions.from_arrays([1, 1, 1], [7, 7, 7]).matrix.data.tolist() == [1]
    assert {warning.filename for warning in (*caught, *more)} == {__file__}


def test_ids_that_are_given_are_those_of_the_result() -> None:
    likes = Interactions.from_arrays(
        ["b", "a"], [3, 1], user_ids=["c", "b", "a"], item_ids=[3, 1, 2]
    )
    assert likes.user_ids.tolist() == ["c", "b", "a"]
    assert likes.item_ids.tolist() == [3, 1, 2]
    assert likes.matrix.toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_texts_that_are_numbers_are_known_as_integers() -> None:
    likes = Interactions.from_arrays(["7", "8"], [1, 1], user_ids=[8, 7])
    assert likes.user_ids.tolist() == [8, 7]
    assert likes.matrix.toarray().tolist() == [[1], [1]]


SERIES = {
    "ints": ([5, 3, 5], [3, 5]),
    "texts": (["b", "a", "b"], ["a", "b"]),
}


@pytest.mark.parametrize("case", SERIES)
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_columns_of_frames(library: str, case: str) -> None:
    module = pytest.importorskip(library)
    series = module.array if library == "pyarrow" else module.Series
    users, ids = SERIES[case]
    when = [datetime.datetime(2020, 1, day) for day in (1, 2, 3)]
    likes = Interactions.from_arrays(
        series(users), series([1, 2, 3]), series([0.5, 1, 2]), series(when)
    )
    assert likes.user_ids.tolist() == ids
    assert likes.matrix.data.tolist() == [1, 0.5, 2]
    assert likes.timestamps.tolist() == [when[1], when[0], when[2]]


def test_columns_of_pandas_of_other_kinds() -> None:
    pandas = pytest.importorskip("pandas")
    codes, found = pandas.factorize(pandas.Series(["b", "a", "b"]))
    utc = pandas.to_datetime(
        ["2020-01-01T02:00+02:00", "2020-01-02T00:00Z", "2020-01-03T00:00Z"], utc=True
    )
    likes = Interactions.from_arrays(
        pandas.Categorical(["b", "a", "b"]),
        pandas.Series([1, 2, 3], dtype="Int64"),
        pandas.Series([1, 2, 3], dtype="Float64"),
        pandas.Series(utc),
    )
    assert likes.user_ids.tolist() == ["a", "b"]
    assert likes.matrix.data.tolist() == [2, 1, 3]
    assert likes.timestamps[1] == np.datetime64("2020-01-01")
    assert Interactions.from_arrays(codes, [1, 2, 3]).user_ids.tolist() == [0, 1]
    assert len(found) == 2
    with pytest.raises(DataError, match=r"timestamps has 1 values .* first at position 1"):
        Interactions.from_arrays([1, 2], [1, 2], timestamps=[utc[0], pandas.NaT])


EAST = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([3, 1], np.array([3, 1])),
        (np.array([3, 1], dtype=np.uint64), np.array([3, 1])),
        (np.array([3, 1], dtype=object), np.array([3, 1])),
        (np.array([3.5, 1], dtype=np.float32), np.array([3.5, 1])),
        (
            [datetime.datetime(2020, 1, 1, 2, tzinfo=EAST), datetime.datetime(2020, 1, 1)],
            np.array(["2020-01-01", "2020-01-01"], dtype="datetime64[us]"),
        ),
        (
            [datetime.date(2020, 1, 1), datetime.date(2019, 1, 1)],
            np.array(["2020-01-01", "2019-01-01"], dtype="datetime64[us]"),
        ),
        (
            np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]"),
            np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[us]"),
        ),
    ],
)
def test_kinds_of_timestamps(given: Any, expected: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Interactions.from_arrays([1, 2], [1, 2], timestamps=given).timestamps
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


BAD = "must be a one-dimensional sequence"


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"users": [1]}, DataError, "users and items must have the same length, got 1 and 2"),
        ({"users": [], "items": []}, DataError, "hold no interactions"),
        ({"users": [1, "a"]}, TypeError, f"users {BAD}"),
        ({"users": [1.0, 2.0]}, TypeError, f"users {BAD}"),
        ({"items": [[1, 2], [3, 4]]}, TypeError, f"items {BAD}"),
        ({"items": 5}, TypeError, f"items {BAD}"),
        ({"weights": [1]}, DataError, "weights must be 2, one for each interaction, got 1"),
        ({"weights": ["1", "2"]}, TypeError, f"weights {BAD} of numbers"),
        ({"weights": [[1], [2, 3]]}, TypeError, f"weights {BAD}"),
        ({"weights": 1.0}, TypeError, f"weights {BAD} of numbers"),
        ({"weights": [1, -2]}, DataError, "not negative, got -2 at position 1"),
        ({"weights": [1, np.nan]}, DataError, "got nan at position 1"),
        ({"weights": [1e39, 1]}, DataError, r"got 1e\+39 at position 0"),
        ({"weights": [0, 0]}, DataError, "hold no interactions"),
        ({"timestamps": [1]}, DataError, "timestamps must be 2, one for each .* got 1"),
        ({"timestamps": [1, np.nan]}, DataError, "missing or too large, the first at position 1"),
        ({"timestamps": np.array(["2020", "NaT"], "M8[D]")}, DataError, "first at position 1"),
        ({"timestamps": np.array([1, 2**63], np.uint64)}, DataError, "too large.* position 1"),
        ({"timestamps": [True, False]}, TypeError, f"timestamps {BAD}"),
        ({"timestamps": ["2020", "2021"]}, TypeError, "converts texts"),
        ({"timestamps": [None, 3]}, TypeError, f"timestamps {BAD}"),
        ({"user_ids": [1, 3]}, DataError, r"user 2 at position 1 .* \(1 of 2 .*unknown=\"drop\""),
        ({"item_ids": [9]}, DataError, "item 7 at position 0 is not in item_ids"),
        ({"item_ids": [9], "unknown": "drop"}, DataError, "none was left"),
        ({"item_ids": [7, 7]}, ValueError, "item_ids must be unique"),
        ({"unknown": "keep"}, ValueError, "unknown must be one of"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*ragged nested sequences")  # NumPy before 1.24
@pytest.mark.filterwarnings("ignore:.*were dropped")
def test_bad_arrays(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Interactions.from_arrays(**{"users": [1, 2], "items": [7, 8], **arguments})


# Described


def test_description() -> None:
    items = np.repeat(np.arange(40), [30, 20, *[1] * 38])
    likes = Interactions.from_arrays(
        np.arange(88), items, np.linspace(0.5, 4, 88), DATETIMES[np.arange(88) % 3]
    )
    assert likes.describe() == {
        "users": 88,
        "items": 40,
        "interactions": 88,
        "density": 88 / (88 * 40),
        "weights": (0.5, 4.0),
        "timestamps": (datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 0, 0, 2)),
        "popular_share": 50 / 88,
    }
    assert [line.split(None, 1)[1] for line in str(likes).splitlines()] == [
        "88",
        "40",
        "88",
        "2.5%",
        "0.5 to 4",
        "2020-01-01 00:00:00 to 2020-01-01 00:00:02",
        "items    57% of the interactions are with the most popular 5% of the items",
    ]
    assert repr(likes) == "Interactions(88 users x 40 items, 88 interactions)"


def test_description_of_no_interactions() -> None:
    nothing = Interactions(sp.csr_array((2, 3)), [1, 2], [7, 8, 9], [])
    figures = nothing.describe()
    assert (figures["weights"], figures["timestamps"], figures["popular_share"]) == (None, None, 0)
    assert "density          0%" in str(nothing)


# Tables


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("times", [None, [10, 20, 30], DATETIMES])
def test_tables(backend: str, times: Any) -> None:
    pytest.importorskip(backend)
    likes = Interactions(MATRIX, ["ann", "bob"], [7, 8, 9], times)
    frame = likes.to_frame(backend)
    columns = {
        name: np.asarray(frame[name]).tolist()
        for name in (frame.column_names if backend == "pyarrow" else frame.columns)
    }
    again = columns.pop("timestamp", None)
    assert columns == {"user": ["ann", "ann", "bob"], "item": [7, 9, 8], "weight": [1, 2, 3]}
    assert str(np.asarray(frame["weight"]).dtype) == "float32"
    if times is None:
        assert again is None
    else:
        assert again == likes.timestamps.astype(np.asarray(frame["timestamp"]).dtype).tolist()
    names = ["user", "item", "weight", *(["timestamp"] if times is not None else [])]
    assert same(Interactions.from_arrays(*(frame[name] for name in names)), likes)


def test_tables_of_libraries_that_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    likes = Interactions(MATRIX, ["ann", "bob"], [7, 8, 9])
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="needs polars, which is not installed: pip install"):
        likes.to_frame("polars")
    with pytest.raises(ValueError, match="backend must be one of"):
        likes.to_frame("spark")


def test_ids_that_no_table_holds() -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"cannot hold the id 'a\\ud800'"):
        Interactions(MATRIX, ["a\ud800", "b"], [7, 8, 9]).to_frame("pyarrow")


# Files

FILES = {
    "integers": Interactions(MATRIX, [3, -4], [7, 8, 9]),
    "texts": Interactions(MATRIX, ["ä\ud800", ""], ["a" * 4000, "b\nc", "鸟"]),
    "numbers as times": Interactions(MATRIX, [3, 4], ["x", "y", "z"], [1, 2, 3]),
    "floats as times": Interactions(MATRIX, [3, 4], [7, 8, 9], [0.5, 2, 3]),
    "datetimes": Interactions(MATRIX, [3, 4], [7, 8, 9], DATETIMES),
    "nothing": Interactions(sp.csr_array((2, 3)), [3, 4], [7, 8, 9]),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("kind", [str, Path])
def test_loads_what_was_saved(tmp_path: Path, case: str, kind: Callable[[Path], Any]) -> None:
    path = tmp_path / "likes"
    FILES[case].save(kind(path))
    loaded = Interactions.load(kind(path))
    assert same(loaded, FILES[case])
    loaded.matrix.data[:] = 5  # it can be written to
    assert [file.name for file in tmp_path.iterdir()] == ["likes"]


def test_an_old_file_stays_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "likes.npz"
    FILES["texts"].save(path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="no space left"):
        FILES["integers"].save(path)
    monkeypatch.undo()
    assert same(Interactions.load(path), FILES["texts"])
    assert list(tmp_path.iterdir()) == [path]
    FILES["integers"].save(path)
    assert same(Interactions.load(path), FILES["integers"])


def test_a_file_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="likes"):
        Interactions.load(tmp_path / "likes.npz")


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "foreign.npz"
    sp.save_npz(path, MATRIX, compressed=False)
    with pytest.raises(DataError, match=r"npz was not written by .*load_interactions"):
        Interactions.load(path)
    sp.save_npz(path, MATRIX)
    with pytest.raises(DataError, match=r"foreign.npz .*is compressed"):
        Interactions.load(path)
    np.savez(path, objects=np.array([print], dtype=object))
    with pytest.raises(DataError, match=r"foreign.npz .*array of object"):
        Interactions.load(path)
    for content in (b"", b"user,item\n1,2\n", b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"foreign\.npz"):
            Interactions.load(path)


def rewritten(path: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    """Change the arrays in a file of interactions."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    with path.open("wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"contents": np.frombuffer(b"cml_fast interactions 2: ", np.uint8)}, "not written by"),
        ({"more": np.arange(3)}, "lacks some of its arrays, or has others"),
        ({"timestamps": None}, "lacks some of its arrays"),
        ({"weights": None}, "lacks some of its arrays"),
        ({"shape": np.array([2, 3, 4])}, "is damaged"),
        ({"shape": np.array([-2, 3])}, "is damaged"),
        ({"shape": np.array([2**40, 3])}, "is damaged"),
        ({"shape": np.array([2, 2**40])}, "is damaged"),
        ({"shape": np.array([2, 4])}, "item_ids must be 4 ids"),
        ({"shape": np.array([2.0, 3.0])}, "shape must be int64"),
        ({"indptr": np.array([0, 2**60, 3])}, "is damaged"),
        ({"indptr": np.array([0, 3, 2])}, "is damaged"),
        ({"indices": np.array([0, 2, 3], np.int32)}, "is damaged"),
        ({"indices": np.array([0, 2, 1])}, "indices must be int32"),
        ({"weights": np.array([1, 2, np.nan], np.float32)}, "1 NaN or infinite"),
        ({"weights": np.array([1, 2], np.float32)}, "is damaged"),
        ({"weights": np.array(["a", "b", "c"])}, "weights must be float32"),
        ({"user_ids": np.array([1.0, 2.0])}, "user_ids must be a one-dimensional"),
        ({"user_ids": np.zeros(2, dtype="V8")}, "user_ids must be a one-dimensional"),
        ({"item_ids.offsets": np.array([0, 1, 2, 99])}, "item_ids.offsets do not rise"),
        ({"item_ids.offsets": np.array([0, 2, 1, 3])}, "item_ids.offsets do not rise"),
        ({"item_ids.offsets": np.zeros(0, np.int64)}, "item_ids.offsets do not rise"),
        ({"item_ids.offsets": np.zeros(4)}, "item_ids.offsets must be int64"),
        ({"item_ids.text": np.array([255, 255, 255], np.uint8)}, "is damaged"),
        ({"timestamps": np.array([1, 2])}, "timestamps must be 3"),
        ({"timestamps": np.array(["a", "b", "c"])}, "timestamps must be"),
        ({"indptr": np.zeros((2, 2), np.int64)}, "is damaged"),
        ({"item_ids.offsets": np.zeros((2, 2), np.int64)}, "is damaged"),
        ({"shape": np.ones((2, 2), np.int64)}, "is damaged"),
        ({"indptr": np.array(3)}, "is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    path = tmp_path / "likes.npz"
    FILES["numbers as times"].save(path)

    def apply(arrays: dict[str, np.ndarray]) -> None:
        for name, array in change.items():
            if array is None:
                del arrays[name]
            else:
                arrays[name] = array

    rewritten(path, apply)
    with pytest.raises(DataError, match=rf"likes\.npz.*{match}"):
        Interactions.load(path)


@pytest.mark.parametrize("dtype", ["<i8", "<U250000000"])
def test_a_size_that_is_a_lie_allocates_nothing(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "likes.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype, "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.npy", header.getvalue() + bytes(8))
    with pytest.raises(DataError, match=r"likes\.npz .*weights.npy has 136 bytes"):
        Interactions.load(path)


def test_a_directory_that_lies_allocates_nothing(tmp_path: Path) -> None:
    """Header and directory agree on two gigabytes, which are not there."""
    path = tmp_path / "likes.npz"
    n = 250_000_000
    header = io.BytesIO()
    description = {"descr": "<i8", "fortran_order": False, "shape": (n,)}
    np.lib.format.write_array_header_1_0(header, description)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.npy", header.getvalue() + bytes(8))
    content = bytearray(path.read_bytes())
    sizes = content.index(b"PK\x01\x02") + 20  # compressed and not, in the directory
    content[sizes : sizes + 8] = struct.pack("<II", *[len(header.getvalue()) + 8 * n] * 2)
    path.write_bytes(content)
    # Newer releases of Python find that the member would reach into the directory.
    told = r"likes\.npz .*(weights.npy has 2000000128 bytes|Overlapped entries: 'weights.npy')"
    with pytest.raises(DataError, match=told):
        Interactions.load(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", FILES)
def test_broken_bytes_are_an_error_that_names_the_file(tmp_path: Path, case: str) -> None:
    path = tmp_path / "likes.npz"
    FILES[case].save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        if rng.random() < 0.2:
            del content[rng.integers(len(content)) :]
        path.write_bytes(content)
        try:
            loaded = Interactions.load(path)
        except DataError as error:
            assert str(path) in str(error)
            n_refused += 1
        else:
            assert same(loaded, FILES[case])  # the damage was to bytes that mean nothing
    assert n_refused > 150
