"""What a pair costs, and how fast this machine can be at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cml_fast._arguments import TILE_SIZE

from .. import memory
from ..shared_negatives import blas_flops
from .clock import timed

REPETITIONS = 20


def pair_cost(active_share: float, n_dims: int, n_negatives: int) -> dict[str, float]:
    """Bytes moved and floating-point operations of a mean pair with the paper's loss, counted in
    csrc/core/.

    A row is n_dims floats, padded to whole cache lines. Every pair reads the vectors of its user,
    its positive and U negatives. An active one also reads three rows of accumulators and writes
    these and their three vectors; reading those vectors once more is left out (they are in the
    innermost cache by then), and so are the searches among the likes.

    A distance takes 3 operations an element (-, *, +) for each of U + 1 items; an update 12 an
    element for each of three rows: gradient 2, accumulator 2, step 5, norm 2, scaling 1.
    """
    row_bytes = 4 * memory.padded(n_dims)
    return {
        "active_share": active_share,
        "bytes": (n_negatives + 2 + active_share * (3 + 6)) * row_bytes,
        "flops": (3 * (n_negatives + 1) + active_share * 12 * 3) * n_dims,
    }


def shared_pair_cost(n_dims: int, n_negatives: int) -> dict[str, float]:
    """The same with the softmax: a tile reads and writes its users, positives and negatives once,
    and makes three matrix products of U r multiplications and additions a pair."""
    row_bytes = 4 * memory.padded(n_dims)
    return {
        "bytes": 2 * (2 + n_negatives / TILE_SIZE) * row_bytes,
        "flops": 6.0 * n_negatives * n_dims,
    }


def copy(device: str, n_bytes: int) -> float:
    """Bytes per second of a copy, the best of many; those read and those written both count."""
    if device == "cpu":
        xp = np
    else:
        import cupy as xp
    source = xp.ones(n_bytes // 4, dtype=xp.float32)
    target = xp.zeros_like(source)
    return 2 * n_bytes / fastest(device, lambda: xp.copyto(target, source))


def flops(device: str) -> float:
    """Floating-point operations per second of a large matrix product, on one core or the GPU."""
    if device == "cpu":
        return max(blas_flops() for _ in range(3))
    import cupy

    size = 4096
    a, b = cupy.ones((2, size, size), dtype=cupy.float32)
    return 2 * size**3 / fastest(device, lambda: a @ b)


def fastest(device: str, action: Callable[[], object]) -> float:
    action()  # touches memory, and loads code, for the first time
    clock = "cpu_seconds" if device == "cpu" else "wall_seconds"
    return min(timed(device, action)[clock] for _ in range(REPETITIONS))


def limits(device: str, scale: float = 1.0) -> dict[str, float]:
    """Of memory, of a cache (each with room for source and target of a copy), of arithmetic."""
    large, small = (1 << 29, 1 << 19) if device == "cpu" else (1 << 30, 1 << 23)
    return {
        "memory_bytes_per_second": copy(device, max(small, int(large * scale))),
        "cache_bytes_per_second": copy(device, small),
        "cache_copy_bytes": small,
        "flops": flops(device),
    }
