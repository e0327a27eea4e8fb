"""Weights by age."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

from cml_fast.data import Interactions, weigh_by_recency
from cml_fast.errors import DataError

LIKES = Interactions.from_arrays(
    ["a", "a", "b"], [1, 2, 1], [1.0, 2.0, 4.0], timestamps=[0, 10, 20]
)
DATES = Interactions.from_arrays(
    ["a", "a", "b"],
    [1, 2, 1],
    timestamps=np.array(["2024-01-01", "2024-01-03", "2024-01-05"], dtype="datetime64[us]"),
)


def test_weights_are_halved_for_every_half_life() -> None:
    weighed = weigh_by_recency(LIKES, 10)
    assert weighed.matrix.data.tolist() == [0.25, 1.0, 4.0]
    assert weighed.timestamps.tolist() == [0, 10, 20]
    assert weighed.user_ids.tolist() == ["a", "b"]
    assert LIKES.matrix.data.tolist() == [1.0, 2.0, 4.0]  # not changed
    assert weigh_by_recency(LIKES, 10, now=0).matrix.data.tolist() == [1.0, 4.0, 16.0]


@pytest.mark.parametrize(
    "half_life", [datetime.timedelta(days=2), np.timedelta64(48, "h")], ids=str
)
def test_dates_have_durations(half_life: Any) -> None:
    assert weigh_by_recency(DATES, half_life).matrix.data.tolist() == [0.25, 0.5, 1.0]
    assert weigh_by_recency(DATES, half_life, now="2024-01-03").matrix.data.tolist() == [0.5, 1, 2]


def test_no_like_vanishes() -> None:
    assert weigh_by_recency(LIKES, 1e-3).matrix.data.tolist() == [
        np.finfo(np.float32).tiny,
        np.finfo(np.float32).tiny,
        4.0,
    ]


@pytest.mark.parametrize(
    ("likes", "half_life", "options", "error", "message"),
    [
        (
            Interactions(LIKES.matrix, ["a", "b"], [1, 2]),
            1,
            {},
            DataError,
            "interactions has no timestamps",
        ),
        (LIKES, 0, {}, ValueError, "half_life must be a finite number above 0"),
        (LIKES, float("nan"), {}, ValueError, "half_life must be"),
        (LIKES, "1", {}, TypeError, "half_life must be a number"),
        (LIKES, datetime.timedelta(1), {}, TypeError, "half_life must be a number"),
        (LIKES, 1e-3, {"now": -1}, DataError, "too large for single precision"),
        (LIKES, 1, {"now": "2024-01-01"}, TypeError, "now must be a number"),
        (DATES, 3.0, {}, TypeError, "half_life must be a datetime.timedelta"),
        (DATES, datetime.timedelta(0), {}, ValueError, "half_life must be above 0"),
    ],
)
def test_bad_arguments(
    likes: Interactions,
    half_life: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        weigh_by_recency(likes, half_life, **options)
