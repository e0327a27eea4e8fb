"""CPU-seconds on a CPU, and what a GPU works on it, as seconds of wall time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def timed(device: str, action: Callable[[], Any]) -> dict[str, float]:
    """How long it takes. On a GPU, CUDA events tell: of the stream that CuPy and we use, and
    PyTorch too, unless it is told otherwise."""
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


def rate(sample: dict[str, float], device: str) -> float:
    """Pairs per CPU-second; on a GPU, where that would mean little, per second."""
    return sample["pairs"] / sample["cpu_seconds" if device == "cpu" else "wall_seconds"]
