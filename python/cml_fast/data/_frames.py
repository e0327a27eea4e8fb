"""Tables of other libraries, made from arrays; each is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._validation.scalars import check_choice

_Columns = Mapping[str, np.ndarray]


def _pandas(pandas: Any, columns: _Columns) -> Any:
    return pandas.DataFrame(dict(columns))


def _polars(polars: Any, columns: _Columns) -> Any:
    return polars.DataFrame({name: _plain(array) for name, array in columns.items()})


def _pyarrow(pyarrow: Any, columns: _Columns) -> Any:
    return pyarrow.table({name: _plain(array) for name, array in columns.items()})


_BACKENDS: dict[str, Callable[[Any, _Columns], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
}


def to_frame(columns: _Columns, backend: str) -> Any:
    """Return a table of one of the backends, or raise ImportError where it is not installed."""
    check_choice("backend", backend, tuple(_BACKENDS))
    try:
        library = importlib.import_module(backend)
    except ImportError as error:
        raise ImportError(
            f"to_frame({backend!r}) needs {backend}, which is not installed: pip install {backend}"
        ) from error
    try:
        return _BACKENDS[backend](library, columns)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a table of {backend} cannot hold the id {error.object!r}, which is no valid Unicode"
        ) from error


def _plain(array: np.ndarray) -> Any:
    """Return numbers and datetimes as they are, and texts as a list, whatever array they are in."""
    return array if array.dtype.kind in "ifM" else array.tolist()
