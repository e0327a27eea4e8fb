"""What a pair costs in bytes and operations, and how many of them the machine manages a second."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..common.clock import rate, timed
from ..common.machine_speed import matrix_product_flops, padded

REPETITIONS = 20
GPU_MATRIX_SIZE = 4096
LARGE_COPY = {"cpu": 1 << 29, "cuda": 1 << 30}  # bytes; far more than any cache
SMALL_COPY = {"cpu": 1 << 19, "cuda": 1 << 23}  # bytes; source and target fit in a cache


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
    row_bytes = 4 * padded(n_dims)
    return {
        "active_share": active_share,
        "bytes": (n_negatives + 2 + active_share * (3 + 6)) * row_bytes,
        "flops": (3 * (n_negatives + 1) + active_share * 12 * 3) * n_dims,
    }


def shared_pair_cost(n_dims: int, n_negatives: int, tile_size: int) -> dict[str, float]:
    """The same with the softmax. ``tile_size`` pairs share their negatives: each vector is read and
    written once a tile. Three matrix products take U r multiplications and additions a pair."""
    row_bytes = 4 * padded(n_dims)
    return {
        "bytes": 2 * (2 + n_negatives / tile_size) * row_bytes,
        "flops": 6.0 * n_negatives * n_dims,
    }


def copy(device: str, n_bytes: int) -> float:
    """Bytes per second of a copy, the best of many; bytes read and bytes written both count."""
    if device == "cpu":
        xp = np
    else:
        import cupy as xp
    source = xp.ones(n_bytes // 4, dtype=xp.float32)
    target = xp.zeros_like(source)
    return rate(2 * n_bytes, fastest(device, lambda: xp.copyto(target, source)))


def flops(device: str) -> float:
    """Floating-point operations per second of a large matrix product, on one core or the GPU."""
    if device == "cpu":
        return max(matrix_product_flops() for _ in range(3))
    import cupy

    size = GPU_MATRIX_SIZE
    a, b = cupy.ones((2, size, size), dtype=cupy.float32)
    return rate(2 * size**3, fastest(device, lambda: a @ b))


def fastest(device: str, action: Callable[[], object]) -> float:
    action()  # touches memory and loads code for the first time
    clock = "cpu_seconds" if device == "cpu" else "wall_seconds"
    return min(timed(device, action)[clock] for _ in range(REPETITIONS))


def limits(device: str, scale: float = 1.0) -> dict[str, float]:
    """Bytes per second of a copy in memory and in a cache; operations per second."""
    large, small = LARGE_COPY[device], SMALL_COPY[device]
    return {
        "memory_bytes_per_second": copy(device, max(small, int(large * scale))),
        "cache_bytes_per_second": copy(device, small),
        "cache_copy_bytes": small,
        "flops": flops(device),
    }
