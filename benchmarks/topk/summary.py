"""What a result file says of the libraries: the fastest setting, and speed against loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .measurement import KS, Point

ALLOWED_LOSS = 0.02


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in both loss and speed-up, by increasing loss."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point["loss"], -point["speedup"])):
        if not best or point["speedup"] > best[-1]["speedup"]:
            best.append(point)
    return best


def fastest(points: Sequence[Point]) -> Point | None:
    """The fastest of the points with at most the allowed loss; None if there is none.

    The standard error counts as loss: with few users, some of many settings lose little by luck.
    """
    good = [point for point in points if point["loss"] + point["loss_error"] <= ALLOWED_LOSS]
    return max(good, key=lambda point: point["speedup"], default=None)


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Of the measurements on the vectors of one model, by k and library."""
    found: dict[str, Any] = {"settings": result["settings"], "exact": result["exact"]}
    for k in KS:
        found[f"libraries@{k}"] = {
            name: _library([p for p in measured["points"] if p["k"] == k], measured["builds"])
            for name, measured in result["libraries"].items()
        }
    return found


def _library(points: list[Point], builds: list[Point]) -> dict[str, Any]:
    """The fastest setting with at most the allowed loss, and (loss, speed-up) of the frontier.

    Of a library that finds its setting itself also that, whatever it loses.
    """
    best = fastest(points)
    found = {
        "fastest": best and _with_build(best, builds),
        "least_loss": min(point["loss"] for point in points),
        "frontier": [[point["loss"], point["speedup"]] for point in frontier(points)],
    }
    if len(points) == 1:
        found["automatic"] = _with_build(points[0], builds)
    return found


def _with_build(point: Point, builds: list[Point]) -> Point:
    built = next(build for build in builds if build["build"] == point["build"])
    return {
        **{name: value for name, value in point.items() if name != "k"},
        "info": built["info"],
        "build_seconds": built["seconds"],
        "bytes": built["bytes"],
    }
