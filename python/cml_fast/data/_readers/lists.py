"""Formats with all pairs of a row together: adjacency and counted lists, sparse matrices."""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ..._validation.matrices import INTERACTIONS, MAX_OBJECTS, MatrixKind, check_matrix
from ...errors import DataError
from .pairs import Pairs
from .text import open_binary


def read_adjacency(path: Path) -> Pairs:
    """Read lines of ``user item item ...``."""
    users, degrees, items = array("q"), array("q"), array("q")
    for _, numbers in _integer_lines(path):
        if numbers:
            users.append(numbers[0])
            degrees.append(len(numbers) - 1)
            items.extend(numbers[1:])
    user_ids, rows = np.unique(users, return_inverse=True)
    item_ids, columns = np.unique(np.array(items, dtype=np.int64), return_inverse=True)
    return Pairs(np.repeat(rows, degrees), user_ids, columns, item_ids)


def read_counted(path: Path, role: str, count_as_item: bool) -> Pairs:
    """Read lines of ``count item item ...``; they are numbered from 0 and stand for users or tags.

    ``role`` says for what.
    """
    degrees, flat = array("q"), array("q")
    for line, numbers in _integer_lines(path):
        if not numbers:
            raise DataError(f"{path}: line {line} is empty; a {role} without items has '0'")
        if numbers[0] != len(numbers) - 1:
            hint = "; lines that start with a user id are format='adjacency'"
            raise DataError(
                f"{path}: line {line} says that it has {numbers[0]} items, but has "
                f"{len(numbers) - 1}{hint if role == 'user' else ''}"
            )
        listed = numbers if count_as_item else numbers[1:]
        degrees.append(len(listed))
        flat.extend(listed)
    items = np.array(flat, dtype=np.int64)
    largest = int(items.max(initial=-1))
    if largest >= MAX_OBJECTS:
        raise DataError(f"{path}: item {largest} is above the limit {MAX_OBJECTS - 1}")
    line_ids = np.arange(len(degrees), dtype=np.int64)
    item_ids = np.arange(largest + 1, dtype=np.int64)
    return Pairs(np.repeat(line_ids, degrees), line_ids, items, item_ids)


def read_npz(path: Path, kind: MatrixKind = INTERACTIONS) -> Pairs:
    """Read a matrix saved by ``scipy.sparse.save_npz``; its row and column numbers are the ids."""
    try:
        with path.open("rb") as file:
            saved = sp.load_npz(file)
    except (ValueError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a sparse matrix saved by scipy: {error}") from error
    matrix = check_matrix(str(path), saved, kind=kind, stacklevel=4)
    row_ids, column_ids = (np.arange(size, dtype=np.int64) for size in matrix.shape)
    rows = np.repeat(row_ids, np.diff(matrix.indptr))
    return Pairs(rows, row_ids, matrix.indices, column_ids, matrix.data)


def _integer_lines(path: Path) -> Iterator[tuple[int, array[int]]]:
    """Yield the number, from 1, and the ids of every line; an empty line has none."""
    with open_binary(path) as file:
        for line, text in enumerate(file, 1):
            words = text.removeprefix(b"\xef\xbb\xbf").split()
            if words and not b"".join(words).isdigit():
                word = next(word for word in words if not word.isdigit())
                raise DataError(
                    f"{path}: line {line}: {word.decode(errors='backslashreplace')!r} is not an "
                    "id; ids here are whole numbers, separated by spaces"
                )
            try:
                yield line, array("q", map(int, words))
            except (OverflowError, ValueError) as error:
                raise DataError(f"{path}: line {line}: an id has over 64 bits") from error
