"""Charts as inline SVG: bars, lines, and means with their intervals.

Places across are in percent of the width, so that a chart fills the page and its text keeps its
size, on a phone as on a wide screen. Colours are those of the page's style, for light and dark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from .markup import tag

# The drawing area of bars and lines: percent of the width, pixels of the height.
_LEFT, _RIGHT = 11.0, 99.0
_TOP, _BOTTOM, _HEIGHT = 10, 190, 216
# The area between the labels of both axes, and the gap between groups of bars.
_N_TICKS, _GAP = 4, 0.2
# A label at the bottom takes so many pixels for each character and beside it, on a narrow screen.
_CHARACTER, _BESIDE, _NARROW = 6.5, 8, 270
# A row of means, and the places of its text and its mark in it.
_ROW, _TEXT, _MARK, _RADIUS = 46, 14, 30, 6
_MARGIN = 2.5


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval."""

    label: str
    mean: float
    ends: tuple[float, float]


def bars(
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    names: Sequence[str],
    write: Callable[[float], str],
    axis: str,
) -> list[Element]:
    """Return vertical bars in groups, with a legend if there are several series.

    ``names`` says what a group is where the pointer rests on it, ``write`` makes text of a value,
    and ``axis`` says what the labels at the bottom are.
    """
    every_value = [float(value) for values in series.values() for value in values]
    whole = all(value.is_integer() for value in every_value)
    ticks = _ticks(0, max(every_value, default=0), whole)
    group = (_RIGHT - _LEFT) / max(len(labels), 1)
    width = group * (1 - _GAP) / len(series)
    drawn = _axis(ticks, write)
    for place, (name, values) in enumerate(series.items()):
        for at, value in enumerate(values):
            top = _height(value, ticks)
            drawn.append(
                tag(
                    "rect",
                    tag("title", f"{names[at]}, {name}: {write(value)}"),
                    x=_percent(_LEFT + at * group + group * _GAP / 2 + place * width),
                    y=f"{top:.1f}",
                    width=_percent(width),
                    height=f"{_BOTTOM - top:.1f}",
                    class_=f"s{place}",
                )
            )
    every = _every(labels)
    drawn += [
        _label(_LEFT + (at + 0.5) * group, label)
        for at, label in enumerate(labels)
        if not at % every
    ]
    return [*_legend(list(series)), _svg(title, _HEIGHT, drawn), _axis_name(axis)]


def lines(
    title: str,
    xs: Sequence[int],
    ys: Sequence[float],
    write: Callable[[float], str],
    axis: str,
    marked: int | None = None,
) -> list[Element]:
    """Return a line through points, with one of them marked by its place in the sequence."""
    ticks = _ticks(min(ys), max(ys))
    step = (_RIGHT - _LEFT - 2 * _MARGIN) / max(len(xs) - 1, 1)
    points = [(_LEFT + _MARGIN + at * step, _height(y, ticks)) for at, y in enumerate(ys)]
    drawn = _axis(ticks, write)
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        ends = {"x1": _percent(x), "y1": f"{y:.1f}", "x2": _percent(next_x), "y2": f"{next_y:.1f}"}
        drawn.append(tag("line", class_="line s0", **ends))
    every = _every([str(x) for x in xs])
    for at, (x, y) in enumerate(points):
        name = tag("title", f"{axis} {xs[at]}: {write(ys[at])}")
        style = "mark" if at == marked else "dot s0"
        radius = _RADIUS if at == marked else _RADIUS / 2
        drawn.append(tag("circle", name, cx=_percent(x), cy=f"{y:.1f}", r=radius, class_=style))
        if not at % every:
            drawn.append(_label(x, str(xs[at])))
    return [_svg(title, _HEIGHT, drawn), _axis_name(axis)]


def intervals(
    title: str, estimates: Sequence[Estimate], reference: float | None = None
) -> list[Element]:
    """Return a row for each mean: a dot, the interval as a line, and the text above.

    The first row is in the first colour. ``reference`` is a value to compare with, a dashed line.
    """
    known = [end for row in estimates for end in (*row.ends, row.mean) if not math.isnan(end)]
    ticks = _ticks(0, max(known, default=0))

    def across(value: float) -> str:
        return _percent(_MARGIN + (100 - 2 * _MARGIN) * value / ticks[-1])

    bottom = _ROW * len(estimates)
    drawn = []
    for tick in ticks:
        x = across(tick)
        drawn.append(tag("line", x1=x, x2=x, y1=0, y2=bottom, class_="grid"))
        drawn.append(tag("text", f"{tick:g}", x=x, y=bottom + 18, class_="middle"))
    if reference is not None:
        x = across(reference)
        drawn.append(tag("line", x1=x, x2=x, y1=0, y2=bottom, class_="reference"))
    for at, row in enumerate(estimates):
        top, style = at * _ROW, "s0" if reference is not None or not at else "s2"
        value = "not defined" if math.isnan(row.mean) else f"{row.mean:.4f}"
        drawn.append(tag("text", row.label, x=0, y=top + _TEXT, class_="name"))
        drawn.append(tag("text", value, x="100%", y=top + _TEXT, class_="end"))
        if math.isnan(row.mean):
            continue
        y, ends = top + _MARK, [across(end) for end in row.ends]
        drawn.append(tag("line", x1=ends[0], x2=ends[1], y1=y, y2=y, class_=f"interval {style}"))
        drawn.append(tag("circle", cx=across(row.mean), cy=y, r=_RADIUS, class_=f"dot {style}"))
    return [_svg(title, bottom + 26, drawn)]


def _svg(title: str, height: int, drawn: Sequence[Element]) -> Element:
    return tag("svg", *drawn, width="100%", height=height, role="img", aria_label=title)


def _axis(ticks: Sequence[float], write: Callable[[float], str]) -> list[Element]:
    drawn = []
    for tick in ticks:
        y = f"{_height(tick, ticks):.1f}"
        ends = {"x1": _percent(_LEFT), "x2": _percent(_RIGHT), "y1": y, "y2": y}
        drawn.append(tag("line", class_="grid", **ends))
        drawn.append(
            tag("text", write(tick), x=_percent(_LEFT - 1), y=y, dy="0.32em", class_="end")
        )
    return drawn


def _label(x: float, text: str) -> Element:
    return tag("text", text, x=_percent(x), y=_BOTTOM + 18, class_="middle")


def _axis_name(axis: str) -> Element:
    return tag("p", axis, class_="axis")


def _legend(names: Sequence[str]) -> list[Element]:
    if len(names) < 2:
        return []
    entries = (
        tag("li", tag("span", class_=f"swatch s{place}"), name) for place, name in enumerate(names)
    )
    return [tag("ul", *entries, class_="legend")]


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Return round values from at most ``low`` to at least ``high``, at least two."""
    from matplotlib.ticker import MaxNLocator  # only now: it is slow to load

    if high <= low:
        return [low, low + (abs(low) or 1.0)]
    locator = MaxNLocator(nbins=_N_TICKS, integer=whole, min_n_ticks=2)
    return [float(f"{tick:.12g}") for tick in locator.tick_values(low, high)]


def _height(value: float, ticks: Sequence[float]) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return _BOTTOM - (_BOTTOM - _TOP) * share


def _every(labels: Sequence[str]) -> int:
    """Return which labels are written so that none covers another: one of so many."""
    longest = max(map(len, labels), default=0)
    return max(1, int(np.ceil(len(labels) * (longest * _CHARACTER + _BESIDE) / _NARROW)))


def _percent(value: float) -> str:
    return f"{value:.2f}%"
