"""External ids: the way back to row numbers, also where one file has integers and another text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cml_fast import Model, Trainer
from cml_fast.data import Interactions, synthetic
from cml_fast.data._ids import IdIndex, id_array


@pytest.mark.parametrize(
    ("known", "ids", "rows"),
    [
        ([30, -7, 5], [5, 6, 30, -7, 2**62], [2, -1, 0, 1, -1]),
        (["b", "é", "a"], ["a", "", "é", "z", "bb"], [2, -1, 1, -1, -1]),
        # Integers and text are compared as text.
        (["7", "x", "007"], [7, 8, 70], [0, -1, -1]),
        ([7, -5, 2**63 - 1], ["7", "007", "+7", " 7", "7.0", "-5"], [0, -1, -1, -1, -1, 1]),
        ([7, 2**63 - 1], [str(2**63 - 1), str(2**63), "9" * 5000, "x", ""], [1, -1, -1, -1, -1]),
        ([7], [], []),
        (["7"], [], []),
    ],
)
def test_find(known: list[Any], ids: list[Any], rows: list[int]) -> None:
    found = IdIndex("user", known).find(np.array(ids))
    assert found.dtype == np.int64
    assert found.tolist() == rows


def test_find_agrees_with_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    known = rng.permutation(2000)[:1000] - 1000
    places = {value: row for row, value in enumerate(known.tolist())}
    wanted = rng.integers(-1100, 1100, 5000)
    expected = [places.get(value, -1) for value in wanted.tolist()]
    for one in (known, known.astype(str)):
        for other in (wanted, wanted.astype(str)):
            assert IdIndex("user", one).find(other).tolist() == expected


@pytest.mark.parametrize(
    ("ids", "n", "error", "message"),
    [
        ([3, 1, 3], None, ValueError, "wanted must be unique, 3 occurs twice"),
        ([], None, ValueError, "wanted must be at least one id, got none"),
        ([1, 2], 3, ValueError, "wanted must be 3 ids, one per row, got 2"),
        ([1, "a"], None, TypeError, "wanted must be a one-dimensional sequence of integers"),
        ([True, False], None, TypeError, "wanted must be a one-dimensional sequence"),
    ],
)
def test_bad_ids(ids: Any, n: int | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        IdIndex("user", ids, n, argument="wanted")


def objects(ids: list[Any]) -> Any:
    return np.array(ids, dtype=object)


def series(ids: list[Any]) -> Any:
    return pytest.importorskip("pandas").Series(ids)


def arrow(ids: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").array(ids)


def unsigned(ids: list[Any]) -> Any:
    return np.array(ids, dtype=np.uint64)


def arrow_unsigned(ids: list[Any]) -> Any:
    return pytest.importorskip("pyarrow").array(ids, "uint64")


@pytest.mark.parametrize("make", [list, objects, series, arrow])
def test_nul_characters_at_the_end_are_kept(make: Any, tmp_path: Path) -> None:
    ids = ["a", "a\0", "a\0\0"]
    assert id_array("user_ids", make(ids)).tolist() == ids
    assert IdIndex("user", make(ids)).rows(make(ids[::-1])).tolist() == [2, 1, 0]
    assert Interactions.from_arrays(make(ids), [1, 2, 3]).user_ids.tolist() == ids
    Model(np.eye(3), np.eye(3), user_ids=make(ids)).save(tmp_path / "model")
    assert Model.load(tmp_path / "model").user_ids.tolist() == ids


def test_nul_characters_of_added_items_are_kept() -> None:
    train = synthetic(40, 30, 300).interactions
    tags = np.eye(30, 4, dtype=np.float32)
    model = (
        Trainer(n_dims=4, n_epochs=1, temperature=0.3, verbose=False)
        .fit(train, item_features=tags)
        .model_
    )
    more = model.add_items(["new", "new\0"], tags[:2])
    assert more.item_ids.tolist()[-2:] == ["new", "new\0"]


@pytest.mark.parametrize(
    ("value", "makers"),
    [
        *((value, [list, objects, unsigned, arrow_unsigned]) for value in (2**63, 2**64 - 1)),
        *((value, [list, objects]) for value in (-(2**63) - 1, 2**64)),
    ],
)
def test_numbers_beyond_int64_are_refused(value: int, makers: list[Any]) -> None:
    """And named, also next to others; NumPy would make other numbers of them."""
    for make in makers:
        for use in (
            lambda ids: id_array("user_ids", ids),
            lambda ids: Model([[0.0], [1.0]], [[1.0]], user_ids=ids),
        ):
            with pytest.raises(ValueError, match=f"user_ids must fit into int64, got {value}; use"):
                use(make([5, value]))


def test_messages_about_ids_are_of_one_line() -> None:
    index = IdIndex("user", ["a"])
    for id in ("\x1b[31m\n", "x" * 10**6):
        for call in (lambda id=id: index.rows(id), lambda id=id: IdIndex("user", [id, id])):
            with pytest.raises(ValueError) as caught:
                call()
            assert str(caught.value).isprintable() and len(str(caught.value)) < 300
