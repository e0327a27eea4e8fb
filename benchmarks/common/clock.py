"""Measure seconds, and divide by them.

A clock may stand still: on some machines the CPU time advances in steps of 10 ms, so that short
work takes no time at all. All code here that divides by seconds does it with `rate` or `ratio`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any


def rate(amount: float, seconds: float) -> float:
    """``amount`` per second; infinite if the work was too short to be timed."""
    return amount / seconds if seconds > 0 else math.inf


def ratio(one: float, other: float) -> float:
    """``one / other`` of two times or two rates; NaN if either of them was too short to time."""
    if one <= 0 or other <= 0 or math.isinf(one) or math.isinf(other):
        return math.nan
    return one / other


def timed(device: str, action: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds and wall seconds of ``action()``.

    On a GPU the wall time is the time between two CUDA events on the current stream, which CuPy
    and cml_fast share with PyTorch unless PyTorch is given another stream.
    """
    cpu, wall = time.process_time(), time.perf_counter()
    if device == "cpu":
        action()
        wall = time.perf_counter() - wall
    else:
        import cupy

        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        action()
        end.record()
        end.synchronize()
        wall = float(cupy.cuda.get_elapsed_time(start, end)) / 1000
    return {"cpu_seconds": time.process_time() - cpu, "wall_seconds": wall}


def pairs_per_second(sample: dict[str, float], device: str) -> float:
    """Pairs per CPU-second on a CPU; pairs per second of wall time on a GPU."""
    return rate(sample["pairs"], sample["cpu_seconds" if device == "cpu" else "wall_seconds"])
