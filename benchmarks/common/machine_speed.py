"""How fast one core of this machine is: reading memory, copying it, and multiplying matrices."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .clock import rate

SECONDS = 0.2  # for each measurement of a bandwidth
MOST_CALLS = 1000  # in that time; ends the measurement if the clock stands still
BUFFER_ROWS = (128, 256, 512, 1024)  # of numpy.take; the fastest counts
BLOCKS = 100  # of row numbers that one timed call reads
ALIGNMENT = 16  # the library pads rows to a multiple of so many floats
PRODUCTS = 5  # matrix products in one measurement


def padded(n_dims: int) -> int:
    """Floats that a row of the library's tables takes."""
    return -(-n_dims // ALIGNMENT) * ALIGNMENT


def bandwidths(n_rows: int, row_floats: int) -> dict[str, float]:
    """Bytes per CPU-second of one core on a float32 table of this size, each the best of many.

    random_rows: rows in random order, copied by ``numpy.take`` into a buffer that stays in the
        caches. Only the bytes read are counted. NumPy does not prefetch rows, so a program that
        does can be faster.
    sequential_read: all bytes once, in order (an integer maximum). The hardware prefetches them:
        hardly any other order of reading is faster.
    sequential_copy: the table into another one; bytes read and bytes written both count.
    """
    generator = np.random.default_rng(0)
    table = generator.standard_normal((n_rows, row_floats), dtype=np.float32)
    target = np.empty_like(table)
    integers = table.view(np.int32)
    takes = [_random_take(table, rows, generator) for rows in BUFFER_ROWS]
    return {
        "random_rows": max(_best_speed(take, n_bytes) for take, n_bytes in takes),
        "sequential_read": _best_speed(integers.max, table.nbytes),
        "sequential_copy": _best_speed(lambda: np.copyto(target, table), 2 * table.nbytes),
    }


def _random_take(
    table: np.ndarray, buffer_rows: int, generator: np.random.Generator
) -> tuple[Callable[[], None], int]:
    """A function that reads rows, and the number of bytes it reads."""
    blocks = generator.integers(len(table), size=(BLOCKS, buffer_rows))
    buffer = np.empty((buffer_rows, table.shape[1]), dtype=np.float32)

    def take() -> None:
        for block in blocks:
            table.take(block, axis=0, out=buffer, mode="clip")  # "raise" copies once more

    return take, blocks.size * table[0].nbytes


def _best_speed(action: Callable[[], object], n_bytes: int) -> float:
    """Bytes per CPU-second of the fastest of many calls."""
    action()  # touches memory for the first time
    fastest = np.inf
    end = time.perf_counter() + SECONDS
    for _ in range(MOST_CALLS):
        started = time.process_time()
        action()
        fastest = min(fastest, time.process_time() - started)
        if time.perf_counter() >= end:
            break
    return rate(n_bytes, fastest)


def matrix_product_flops(size: int = 1024) -> float:
    """Floating-point operations per CPU-second of a large matrix product on one core."""
    a, b = np.ones((2, size, size), dtype=np.float32)
    start = time.process_time()
    for _ in range(PRODUCTS):
        a @ b
    return rate(PRODUCTS * 2 * size**3, time.process_time() - start)
