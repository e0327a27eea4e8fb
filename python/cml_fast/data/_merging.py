"""Pairs that occur several times, merged into one entry of a matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def merge_pairs(
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray | None,
    timestamps: np.ndarray | None,
    shape: tuple[int, int],
) -> tuple[sp.csr_array, np.ndarray | None]:
    """Return a canonical float32 matrix, and the timestamps of its entries.

    The weights of a pair that occurs several times are added, or stay 1 without weights, and the
    latest timestamp is kept.
    """
    values = np.ones(rows.size, dtype=np.float32) if weights is None else weights
    coordinates = (rows.astype(np.int32, copy=False), columns.astype(np.int32, copy=False))
    matrix = sp.csr_array((values, coordinates), shape=shape)  # sorts, and adds up duplicates
    if weights is None:
        matrix.data[:] = 1
    return matrix, None if timestamps is None else latest(rows, columns, timestamps)


def latest(rows: np.ndarray, columns: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Return the latest timestamp of each different pair, in the order of rows and columns."""
    order = _order(columns)
    order = order[_order(rows[order])]
    rows, columns = rows[order], columns[order]
    begins = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    return np.maximum.reduceat(timestamps[order], np.flatnonzero(np.append(True, begins)))


def _order(keys: np.ndarray) -> np.ndarray:
    """Return what `numpy.argsort` with ``kind="stable"`` does, for row numbers.

    It counts the keys, as scipy does to make a CSR matrix, instead of comparing them.
    """
    positions = np.arange(keys.size, dtype=np.min_scalar_type(-keys.size))
    nothing = np.zeros(keys.size, dtype=np.int8)
    shape = (int(keys.max(initial=0)) + 1, keys.size)
    order: np.ndarray = sp.csr_array((nothing, (keys, positions)), shape=shape).indices
    return order
