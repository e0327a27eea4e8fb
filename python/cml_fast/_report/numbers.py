"""How numbers are written in a report."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np

_THOUSAND, _MILLION = 1_000, 1_000_000
NONE = "–"


def count(value: float | np.integer[Any]) -> str:
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """As `count`, for the axis of a chart: 20k, 1.5M."""
    for size, letter in ((_MILLION, "M"), (_THOUSAND, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def decimal(value: float | None) -> str:
    """Return a metric or a distance with four places."""
    return NONE if value is None or isnan(value) else f"{value:.4f}"


def percent(share: float | None) -> str:
    """Return a share in percent, with two or more significant digits."""
    if share is None or isnan(share):
        return NONE
    in_percent = 100 * share
    return f"{in_percent:.0f}%" if in_percent >= 10 else f"{float(f'{in_percent:.2g}'):g}%"


def interval(ends: tuple[float, float] | None) -> str:
    return NONE if ends is None or isnan(ends[0]) else f"{ends[0]:.4f} to {ends[1]:.4f}"
