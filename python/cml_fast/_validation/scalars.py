"""Checks of numbers, seeds and plain values.

Every message names the argument, the value and what is allowed.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import numbers
import re
from collections.abc import Iterator
from typing import Any

import numpy as np


def check_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high], or raise TypeError / ValueError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    number = int(value)
    if number < low or (high is not None and number > high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"{name} must be {bounds}, got {value!r}")
    return number


_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def check_bytes(name: str, value: Any, low: int) -> int:
    """Return a size of at least ``low`` bytes, given as a number or as a text like "2GiB"."""
    number = value
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(\w+)", value.strip())
        if found is None or found[2] not in _UNITS:
            raise ValueError(f"{name} must be a size like 2GiB or 500MB, got {value!r}")
        number = int(float(found[1]) * _UNITS[found[2]])
    number = check_int(name, number, 0)
    if number < low:
        raise ValueError(f"{name} must be at least {low >> 20}MiB, got {value!r}")
    return number


def check_real(name: str, value: Any, low: float, *, strict: bool = False) -> float:
    """Return ``value`` as a finite float that is >= low, or > low if ``strict``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:  # an int of hundreds of digits
        number = math.inf
    if not math.isfinite(number) or number < low or (strict and number == low):
        raise ValueError(
            f"{name} must be a finite number {'above' if strict else 'of at least'} {low:g}, "
            f"got {value!r}"
        )
    return number


def check_between(name: str, value: Any, low: float, high: float) -> float:
    """Return ``value`` as a float in [low, high], both above 0."""
    number = check_real(name, value, 0, strict=True)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")
    return number


def check_share(name: str, value: Any) -> float:
    """Return ``value`` as a float in [0, 1]."""
    share = check_real(name, value, 0)
    if share > 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return share


def check_bool(name: str, value: Any) -> bool:
    """Return ``value`` as a bool, or raise TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of the options, or raise ValueError."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {options}, got {value!r}")
    return value


def check_random_state(
    random_state: int | np.random.Generator | np.random.RandomState | None,
) -> np.random.Generator:
    """Return a generator for a seed, a generator, the old NumPy RandomState, or None."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, (bool, np.bool_)) or not isinstance(random_state, numbers.Integral):
        raise TypeError(
            "random_state must be an integer, None, a numpy.random.Generator or a "
            f"numpy.random.RandomState, got {random_state!r} ({type(random_state).__name__})"
        )
    return np.random.default_rng(check_int("random_state", random_state, 0))


@contextlib.contextmanager
def drawing_from(random_state: Any) -> Iterator[np.random.Generator]:
    """Yield a generator for any kind of ``random_state``, see `check_random_state`.

    A generator that the caller passed advances only if the block succeeds: a call that raises
    leaves it as it was.
    """
    spare = random_state
    if isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        spare = copy.deepcopy(random_state)
    yield check_random_state(spare)
    if isinstance(random_state, np.random.Generator):
        random_state.bit_generator.state = spare.bit_generator.state
    elif isinstance(random_state, np.random.RandomState):
        random_state.set_state(spare.get_state(legacy=False))


def check_hyperparameters(value: dict[str, Any] | None) -> dict[str, Any]:
    """Return a deep copy made by writing and reading JSON, or raise TypeError."""
    if not isinstance(value, dict | None):
        raise TypeError(f"hyperparameters must be a dict, got {type(value).__name__}")
    plain: dict[str, Any] = _plain_json("hyperparameters", value or {})
    return plain


def check_history(value: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return a deep copy of the reports of epochs, or raise TypeError."""
    plain = _plain_json("history", value or [])
    if not isinstance(plain, list) or not all(isinstance(epoch, dict) for epoch in plain):
        raise TypeError(
            f"history must be a list with a dict for each epoch, got {type(value).__name__}"
        )
    return plain


def _plain_json(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} must be plain JSON values: {error}") from error
