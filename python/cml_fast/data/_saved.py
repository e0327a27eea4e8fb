"""The file of `Interactions.save`: which arrays are in it.

format                  "cml_fast interactions 1" in ASCII, uint8
shape                   the numbers of users and items, int64
indptr, indices         the matrix in CSR form, int64 and int32
weights                 its values, float32
user_ids, item_ids      ids that are integers, int64
user_ids.text, ...      or texts, UTF-8 one after another, uint8
user_ids.offsets, ...   and where each begins and the last one ends, int64
timestamps              if there are any, int64, float64 or datetime64[us]
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import DataError
from . import _storage

# The number rises with a change that older releases cannot read.
_FORMAT = "cml_fast interactions 1:"
_DTYPES: dict[str, type[np.generic]] = {
    "shape": np.int64,
    "indptr": np.int64,
    "indices": np.int32,
    "weights": np.float32,
}
_Arrays = Mapping[str, np.ndarray]


def write(
    path: Path,
    matrix: sp.csr_array,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    timestamps: np.ndarray | None,
) -> None:
    """Write the parts of `Interactions` to one file."""
    arrays = {
        "shape": np.array(matrix.shape),
        "indptr": matrix.indptr,
        "indices": matrix.indices,
        "weights": matrix.data,
    }
    for name, dtype in _DTYPES.items():
        arrays[name] = arrays[name].astype(dtype, copy=False)
    arrays |= _id_arrays("user_ids", user_ids) | _id_arrays("item_ids", item_ids)
    if timestamps is not None:
        arrays["timestamps"] = timestamps
    contents = np.frombuffer(_contents(arrays), dtype=np.uint8)
    _storage.write_arrays(path, {"contents": contents} | arrays)


def read(path: Path) -> _Arrays:
    """Return the arrays of a file that `write` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is damaged, or was not written by `write`.
    """
    arrays = _storage.read_arrays(path)
    contents = arrays.pop("contents", np.zeros(0)).tobytes()
    if not contents.startswith(_FORMAT.encode()):
        raise DataError(
            f"{path} was not written by Interactions.save of this release; load_interactions "
            "reads files of other formats"
        )
    if contents != _contents(arrays):
        raise DataError(f"{path} is damaged: it lacks some of its arrays, or has others")
    return arrays


def unpack(arrays: _Arrays) -> tuple[sp.csr_array, Any, Any, np.ndarray | None]:
    """Return the arguments of `Interactions`, which checks them; KeyError or ValueError if none."""
    for name, dtype in _DTYPES.items():
        _check_dtype(name, arrays[name], dtype)
    parts = (arrays["weights"], arrays["indices"], arrays["indptr"])
    matrix = sp.csr_array(parts, shape=tuple(arrays["shape"].tolist()))
    user_ids, item_ids = (_ids_of(name, arrays) for name in ("user_ids", "item_ids"))
    return matrix, user_ids, item_ids, arrays.get("timestamps")


def _contents(arrays: _Arrays) -> bytes:
    return " ".join((_FORMAT, *sorted(arrays))).encode()


def _id_arrays(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    if ids.dtype.kind == "i":
        return {name: ids}
    # A lone surrogate is a str in Python, but not UTF-8 by itself.
    encoded = [text.encode("utf-8", "surrogatepass") for text in ids.tolist()]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in encoded], out=offsets[1:])
    text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {f"{name}.text": text, f"{name}.offsets": offsets}


def _ids_of(name: str, arrays: _Arrays) -> np.ndarray | list[str]:
    if name in arrays:
        return arrays[name]
    text, offsets = arrays[f"{name}.text"], arrays[f"{name}.offsets"]
    _check_dtype(f"{name}.text", text, np.uint8)
    _check_dtype(f"{name}.offsets", offsets, np.int64)
    if (
        not offsets.size
        or offsets[0] != 0
        or offsets[-1] != text.size
        or (offsets[1:] < offsets[:-1]).any()
    ):
        raise ValueError(f"{name}.offsets do not rise from 0 to {text.size}")
    whole, bounds = text.tobytes(), offsets.tolist()
    return [
        whole[begin:end].decode("utf-8", "surrogatepass")
        for begin, end in itertools.pairwise(bounds)
    ]


def _check_dtype(name: str, array: np.ndarray, dtype: type[np.generic]) -> None:
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)}, found {array.dtype}")
