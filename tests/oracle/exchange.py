"""How the changes that several workers made to items become one (`cml_fast.distributed`).

A row is a vector and its accumulators, float32. Rows that are sent are in a dictionary by number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Row = tuple[np.ndarray, np.ndarray]
Rows = dict[int, Row]


def changed(now: Sequence[Row], start: Sequence[Row]) -> Rows:
    """How far the rows that differ have moved."""
    return {
        number: (after[0] - before[0], after[1] - before[1])
        for number, (after, before) in enumerate(zip(now, start, strict=True))
        if (after[0] != before[0]).any() or (after[1] != before[1]).any()
    }


def combined(changes: Sequence[Rows], start: Sequence[Row], max_norm: float) -> Rows:
    """The rows that some workers changed, with the changes of all."""
    rows = {}
    for number, (vector, accumulators) in enumerate(start):
        of_row = [rows_of_worker[number] for rows_of_worker in changes if number in rows_of_worker]
        if not of_row:
            continue
        moved, added = np.zeros_like(vector), np.zeros_like(accumulators)
        for of_worker in of_row:
            moved += of_worker[0]
            added += of_worker[1]
        of_all = accumulators + added
        of_a_worker = accumulators + added / np.float32(len(of_row))
        scale = np.sqrt(of_a_worker / np.maximum(of_all, np.finfo(np.float32).tiny))
        rows[number] = into_ball(scale * moved + vector, max_norm), of_all
    return rows


def arrived(now: Sequence[Row], rows: Rows, own: Rows, max_norm: float) -> list[Row]:
    """The items of a worker that takes over combined rows, and has changed some of them since."""
    after = []
    for number, row in enumerate(now):
        vector, accumulators = rows.get(number, row)
        if number in rows and number in own:
            vector = into_ball(vector + own[number][0], max_norm)
            accumulators = accumulators + own[number][1]
        after.append((vector, accumulators))
    return after


def into_ball(vector: np.ndarray, max_norm: float) -> np.ndarray:
    """The nearest vector in the ball of this radius; halves of the squares are added up first."""
    squares = vector * vector
    while len(squares) > 1:
        half = len(squares) // 2
        sums = squares[:half] + squares[half : 2 * half]
        if len(squares) % 2:
            sums[0] += squares[-1]
        squares = sums
    norm = np.sqrt(squares[0])
    return vector * (np.float32(max_norm) / norm) if norm > max_norm else vector
