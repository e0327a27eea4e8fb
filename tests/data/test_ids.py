"""External ids: the way back to row numbers, also where one file has integers and another text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cml_fast.data._ids import IdIndex


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
