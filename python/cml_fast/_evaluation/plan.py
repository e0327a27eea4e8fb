"""What an evaluation is to measure: its arguments, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._validation.matrices import MAX_OBJECTS
from .._validation.scalars import check_bool, check_choice, check_int
from ..metrics.registry import check_metrics

# What is done with users, or items, without likes in training.
COLD = ("include", "exclude")


@dataclass(frozen=True)
class Plan:
    """What to measure, see `evaluation.evaluate`; ``ks`` are ascending."""

    ks: list[int]
    metrics: tuple[str, ...]
    cold_users: str
    cold_items: str
    segments: bool


def check_plan(
    ks: Iterable[int],
    metrics: str | Iterable[str],
    cold_users: str,
    cold_items: str,
    segments: bool,
) -> Plan:
    """Return checked arguments of `evaluate`."""
    return Plan(
        _check_ks(ks),
        check_metrics(metrics),
        check_choice("cold_users", cold_users, COLD),
        check_choice("cold_items", cold_items, COLD),
        check_bool("segments", segments),
    )


def _check_ks(ks: Iterable[int]) -> list[int]:
    """Return distinct lengths in ascending order."""
    if not isinstance(ks, Iterable) or isinstance(ks, str):
        raise TypeError(f"ks must be a sequence of integers such as (10, 50), got {ks!r}")
    lengths = sorted({check_int("ks", k, 1, MAX_OBJECTS) for k in ks})
    if not lengths:
        raise ValueError("ks must have at least one length, got none")
    return lengths
