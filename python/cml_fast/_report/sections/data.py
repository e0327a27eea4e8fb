"""What the data are: how many, how they are spread over users, items and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ...data.interactions import Interactions
from .. import charts
from ..facts import Facts
from ..markup import figure, paragraph, table, tag
from ..numbers import NONE, count, percent, short_count

# Numbers between these are taken for seconds, or thousandths of a second, since 1970.
_SECONDS = (3e8, 5e9)
_UNITS = {"s": 1, "ms": 1_000}
# Time is cut into years, months or days: the first of these that gives so many parts.
_PERIODS = (("Y", "year"), ("M", "month"), ("D", "day"))
_LEAST_PERIODS, _MOST_PERIODS = 4, 60


def content(facts: Facts) -> list[Element]:
    parts = {"training": facts.train}
    if facts.test is not None:
        parts["test"] = facts.test
    rows = [[name, *(write(part) for part in parts.values())] for name, write in _ROWS.items()]
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    elements = [table(["", *parts], rows)]
    for axis, what in ((1, "user"), (0, "item")):
        elements.append(_spread(parts, what, axis))
    dates = {name: _dates(part.timestamps) for name, part in parts.items()}
    if all(moments is not None for moments in dates.values()):
        elements.append(_over_time({name: moments for name, moments in dates.items()}))
    elements += [_reading(name, part) for name, part in parts.items() if part.report is not None]
    return elements


def _counts(part: Interactions, axis: int) -> np.ndarray:
    """Return the likes of each user (axis 1) or item (axis 0)."""
    matrix = part.matrix
    of_users = np.diff(matrix.indptr).astype(np.int64)
    counts: np.ndarray = (
        of_users if axis == 1 else np.bincount(matrix.indices, minlength=matrix.shape[1])
    )
    return counts


def _median(part: Interactions, axis: int) -> str:
    counts = _counts(part, axis)
    return f"{np.median(counts[counts > 0]):g}" if counts.any() else NONE


def _weights(part: Interactions) -> str:
    limits = part.describe()["weights"]
    return NONE if limits is None else f"{limits[0]:g} to {limits[1]:g}"


def _moment(part: Interactions, place: int) -> str:
    limits = part.describe()["timestamps"]
    if limits is None:
        return NONE
    dates = _dates(part.timestamps)
    if dates is None:
        return f"{limits[place]:g}"
    return str((dates.min(), dates.max())[place].astype("datetime64[D]"))


_ROWS: dict[str, Callable[[Interactions], str]] = {
    "users with likes": lambda part: count(np.count_nonzero(_counts(part, 1))),
    "items with likes": lambda part: count(np.count_nonzero(_counts(part, 0))),
    "likes": lambda part: count(part.describe()["interactions"]),
    "share of all pairs of a user and an item": lambda part: percent(part.describe()["density"]),
    "likes of a user, median": lambda part: _median(part, 1),
    "likes of an item, median": lambda part: _median(part, 0),
    "likes of the most popular 5% of the items": lambda part: percent(
        part.describe()["popular_share"]
    ),
    "weights": _weights,
    "first date": lambda part: _moment(part, 0),
    "last date": lambda part: _moment(part, 1),
}


def _spread(parts: dict[str, Interactions], what: str, axis: int) -> Element:
    """Return a histogram of likes for each user or item, in steps that double."""
    counts = {name: _counts(part, axis) for name, part in parts.items()}
    n_steps = max(int(values.max(initial=1)).bit_length() for values in counts.values())
    edges = [1 << step for step in range(n_steps)]
    ranges = [f"{low:,}" if low == 1 else f"{low:,} to {2 * low - 1:,}" for low in edges]
    series = {
        name: np.histogram(values, [*edges, 1 << n_steps])[0].tolist()
        for name, values in counts.items()
    }
    none = [count((values == 0).sum()) for values in counts.values()]
    rows = [["none", *none]] + [
        [label, *(count(values[at]) for values in series.values())]
        for at, label in enumerate(ranges)
    ]
    title = f"Likes of each {what}"
    chart = charts.bars(
        title,
        [count(low) for low in edges],
        series,
        ranges,
        short_count,
        f"likes of the {what}",
    )
    return figure(
        title,
        f"A bar is the number of {what}s with so many likes: the bar at 4 has those with 4 to 7, "
        "the next one those with 8 to 15, and so on.",
        chart,
        table([f"likes of the {what}", *series], rows),
    )


def _dates(timestamps: np.ndarray | None) -> np.ndarray | None:
    """Return timestamps as dates, or None if it is not certain what their numbers mean."""
    if timestamps is None or not timestamps.size:
        return None
    if timestamps.dtype.kind == "M":
        return timestamps
    for unit, per_second in _UNITS.items():
        seconds = timestamps / per_second
        if seconds.min() >= _SECONDS[0] and seconds.max() <= _SECONDS[1]:
            return timestamps.astype(np.int64).astype(f"datetime64[{unit}]")
    return None


def _over_time(dates: dict[str, Any]) -> Element:
    first = min(moments.min() for moments in dates.values())
    last = max(moments.max() for moments in dates.values())
    unit, period = next(
        (pair for pair in _PERIODS if _n_periods(first, last, pair[0]) >= _LEAST_PERIODS),
        _PERIODS[-1],
    )
    begin, n = first.astype(f"datetime64[{unit}]"), _n_periods(first, last, unit)
    step = -(-n // _MOST_PERIODS)  # very long times: several years in a bar
    n_bars = -(-n // step)
    labels = [str(begin + at * step) for at in range(n_bars)]
    series = {
        name: np.bincount(
            (moments.astype(f"datetime64[{unit}]") - begin).astype(np.int64) // step,
            minlength=n_bars,
        ).tolist()
        for name, moments in dates.items()
    }
    rows = [
        [label, *(count(values[at]) for values in series.values())]
        for at, label in enumerate(labels)
    ]
    title = f"Likes over time, by {period}"
    return figure(
        title,
        f"A bar is the number of likes from one {period}; where training and test lie in the same "
        "time, they were not split by time.",
        charts.bars(title, labels, series, labels, short_count, period),
        table([period, *series], rows),
    )


def _n_periods(first: np.datetime64, last: np.datetime64, unit: str) -> int:
    ends = (moment.astype(f"datetime64[{unit}]").astype(np.int64) for moment in (first, last))
    return int(-np.subtract(*ends)) + 1


def _reading(name: str, part: Interactions) -> Element:
    """Return what became of the lines of the file."""
    assert part.report is not None
    counts = {key.replace("_", " "): value for key, value in asdict(part.report).items() if value}
    first_bad = counts.pop("first bad", None)
    rows = [[key, count(value)] for key, value in counts.items()]
    children = [
        tag("h3", f"What reading the {name} data left out"),
        table(["lines of the file, and pairs of a user and an item", "number"], rows),
    ]
    if first_bad:
        children.append(paragraph(f"The first bad line: {first_bad}"))
    return tag("div", *children)
