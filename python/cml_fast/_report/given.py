"""What the caller knows of users and items, with a place for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._validation.scalars import check_choice
from ..data._ids import NAMED, IdIndex, id_array
from ..data.loading import UNKNOWN
from ..errors import DataError


def texts_by_row(name: str, given: Any, index: IdIndex, unknown: str) -> list[str | None]:
    """Return a text, or None where there is none, for each row of ``index``.

    Parameters
    ----------
    name : str
        The argument that messages name.
    given : dict, sequence or None
        A dict from ids to values, or one value for each row.
    index : IdIndex
    unknown : str
        "error", or "drop" for ids of the dict that the model does not have.
    """
    check_choice("unknown", unknown, UNKNOWN)
    n = len(index.array)
    if given is None:
        return [None] * n
    if isinstance(given, Mapping):
        return _by_id(name, given, index, unknown)
    for method in ("to_pylist", "to_list", "tolist"):  # of Arrow, of pandas and polars, of NumPy
        if hasattr(given, method):
            given = getattr(given, method)()
            break
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(
            f"{name} must be a dict by id, or one value for each row of the model, got "
            f"{type(given).__name__}"
        )
    if len(given) != n:
        raise DataError(
            f"{name} must be {n} values, one for each row of the model, got {len(given)}; a dict "
            "by id may have fewer"
        )
    return [_text(value) for value in given]


def _by_id(name: str, given: Mapping[Any, Any], index: IdIndex, unknown: str) -> list[str | None]:
    found: list[str | None] = [None] * len(index.array)
    ids = id_array(f"the keys of {name}", list(given))
    rows = index.find(ids)
    missing = ids[rows < 0].tolist()
    if missing and unknown == "error":
        raise DataError(
            f"{name} has {len(missing)} ids that the model does not have: "
            f"{', '.join(map(repr, missing[:NAMED]))}{', ...' if len(missing) > NAMED else ''}; "
            "leave them out with unknown='drop'"
        )
    for row, value in zip(rows.tolist(), given.values(), strict=True):
        if row >= 0:
            found[row] = _text(value)
    return found


def _text(value: Any) -> str | None:
    # NaN, NaT and the like, which differ from themselves, stand for nothing in data frames.
    if value is None or value != value or str(value) in ("", "<NA>"):
        return None
    return str(value)
