"""The format ``npz``: a matrix saved by ``scipy.sparse.save_npz``."""

from __future__ import annotations

import math
import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..._validation.matrices import MAX_OBJECTS, check_matrix
from ...errors import DataError
from .files import Source
from .pairs import INTERACTIONS, Format, Pairs, stack_level

if TYPE_CHECKING:
    from .builder import PairBuilder

# A matrix may have so many rows and columns without an entry, for each entry that it has.
_MOST_EMPTY = 1000
_SMALL = 1_000_000
_INTEGERS = tuple(f"{name}.npy" for name in ("indices", "indptr", "row", "col", "offsets", "shape"))


def _read(source: Source, builder: PairBuilder) -> None:
    """Read a matrix. Its row and column numbers are the ids, but the rows of features have none."""
    file, kind = source.seekable(), builder.kind
    try:
        _check_arrays(source.name, file)
        file.seek(0)
        saved = sp.load_npz(file)
    except DataError:
        raise
    except Exception as error:  # damaged files end in whatever error comes first
        raise DataError(f"{source.name} is not a sparse matrix saved by scipy: {error}") from error
    try:
        matrix = check_matrix(source.name, saved, kind=kind.matrix, stacklevel=stack_level() + 1)
    except TypeError as error:  # of a member, here, and not of an argument
        raise DataError(str(error)) from error
    row_ids, column_ids = (np.arange(size, dtype=np.int64) for size in matrix.shape)
    rows = np.repeat(row_ids, np.diff(matrix.indptr))
    has_ids = kind is INTERACTIONS
    left_out = saved.nnz - matrix.nnz
    tally = builder.tally
    tally.zero_weight = min(left_out, saved.nnz - np.count_nonzero(saved.data))
    tally.merged = left_out - tally.zero_weight
    tally.lines, tally.kept = saved.nnz, saved.nnz - tally.zero_weight
    builder.take(
        Pairs(rows, row_ids, matrix.indices, column_ids, matrix.data, rows_have_ids=has_ids)
    )


def _check_arrays(name: str, file: IO[bytes]) -> None:
    """Refuse what would need much more memory than the file holds, before anything is read."""
    archive = zipfile.ZipFile(file)
    sizes = {}
    for member in archive.infolist():
        with archive.open(member) as opened:
            version = np.lib.format.read_magic(opened)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(opened)
            begin = opened.tell()
            if dtype.hasobject:
                raise DataError(f"{name}: {member.filename} holds Python objects, not numbers")
            if member.filename in _INTEGERS and dtype.kind not in "iu":
                raise DataError(f"{name}: {member.filename} must hold integers, found {dtype}")
            size = math.prod(shape) * dtype.itemsize
            if any(n < 0 for n in shape) or size != member.file_size - begin:
                raise DataError(
                    f"{name}: {member.filename} says that it has {size} bytes, but has "
                    f"{member.file_size - begin}"
                )
            sizes[member.filename] = math.prod(shape)
            if member.filename == "shape.npy":
                shape_of_matrix = np.frombuffer(opened.read(size), dtype=dtype).tolist()
    if "contents.npy" in sizes:
        raise DataError(f"{name} was written by Interactions.save; read it by Interactions.load")
    if "shape.npy" not in sizes or "data.npy" not in sizes:
        raise DataError(f"{name} is not a sparse matrix saved by scipy: it has no shape or data")
    if len(shape_of_matrix) != 2 or not all(
        isinstance(n, int) and 0 <= n <= MAX_OBJECTS for n in shape_of_matrix
    ):
        raise DataError(
            f"{name} has the shape {tuple(shape_of_matrix)}; it must be two numbers from 0 to "
            f"{MAX_OBJECTS}"
        )
    if max(shape_of_matrix) > _SMALL + _MOST_EMPTY * sizes["data.npy"]:
        raise DataError(
            f"{name} has the shape {tuple(shape_of_matrix)}, but only {sizes['data.npy']} entries; "
            "leave out the empty rows and columns"
        )


NPZ = Format("npz", _read, extensions=(".npz",))
