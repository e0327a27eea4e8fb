"""When interactions happened: the kinds of numbers and datetimes that are taken for it."""

from __future__ import annotations

import contextlib
import datetime
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ._arrays import plain_array

MICROSECONDS = np.dtype("datetime64[us]")
_INT64_MAX = np.iinfo(np.int64).max


def timestamp_array(name: str, values: npt.ArrayLike, n: int) -> np.ndarray:
    """Return ``n`` timestamps as a one-dimensional int64, float64 or datetime64[us] array.

    Datetimes with a time zone become UTC. The result may share the memory of ``values``.

    Raises
    ------
    TypeError
        If they are neither numbers nor datetimes.
    DataError
        If they are not so many, or if one is missing (NaN, NaT) or out of range.
    """
    array = plain_array(name, values)
    if array.dtype == object and array.ndim == 1:
        array = _from_objects(array)
    if array.ndim != 1 or array.dtype.kind not in "iufM":
        raise TypeError(
            f"{name} must be a one-dimensional sequence of numbers or datetimes, got an array of "
            f"{array.dtype} with shape {array.shape}; numpy.array(texts, dtype='datetime64[us]') "
            "converts texts"
        )
    if array.size != n:
        raise DataError(f"{name} must be {n}, one for each interaction, got {array.size}")
    if array.dtype.kind == "M":
        array, bad = array.astype(MICROSECONDS, copy=False), np.isnat(array)
    elif array.dtype.kind == "f":
        array, bad = array.astype(np.float64, copy=False), ~np.isfinite(array)
    else:
        bad = array > _INT64_MAX
        array = array.astype(np.int64, copy=False)
    if bad.any():
        at = int(bad.argmax())
        raise DataError(
            f"{name} has {np.count_nonzero(bad)} values that are missing or too large, the first "
            f"at position {at}; leave these interactions out"
        )
    return array


def moment(name: str, value: Any, timestamps: np.ndarray) -> Any:
    """Return a point in time that can be compared with these timestamps.

    It is a number where they are numbers; else a datetime, a date or an ISO 8601 text.
    """
    if timestamps.dtype.kind == "M":
        given = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                given = datetime.datetime.fromisoformat(value)
        at: Any = np.datetime64("NaT")
        if isinstance(given, datetime.date):
            at = np.datetime64(_without_zone(given), "us")
        elif isinstance(given, np.datetime64):
            at = given.astype(MICROSECONDS)
        if np.isnat(at):
            raise TypeError(
                f"{name} must be a datetime or a text like '2024-12-31', as the timestamps are "
                f"datetimes; got {value!r}"
            )
        return at
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, as the timestamps are numbers; got {value!r}")
    return value


def _from_objects(array: np.ndarray) -> np.ndarray:
    """Return Python's datetimes and dates as datetime64, in UTC; leave other objects alone."""
    if not array.size or not all(isinstance(value, datetime.date) for value in array):
        return array
    return np.array([_without_zone(value) for value in array], dtype=MICROSECONDS)


def _without_zone(value: datetime.date) -> datetime.date | None:
    """Return a datetime in UTC; None for NaT of pandas, which is not equal to itself."""
    if value != value:
        return None
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value
