"""Recommendations for all users: what they are made from, and the table that holds them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from .._validation.showing import quoted
from .filters import Filters

# Users, and results at most, of a part. Enough to make preparing the search negligible.
USERS = 1 << 14
RESULTS = 1 << 22


def part_size(n: int) -> int:
    """Return the number of users of a part, if each gets ``n`` results."""
    return max(1, min(USERS, RESULTS // n))


def fingerprint(*arrays: np.ndarray | None) -> str:
    """Return a hash of the content of arrays, of numbers or str."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
        elif array.dtype == object:
            digest.update(json.dumps(array.tolist()).encode("ascii"))
        else:
            digest.update(f"{array.shape} {array.dtype}".encode("ascii"))
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def settings(filters: Filters) -> dict[str, Any]:
    """Return what filters are, by the names of the arguments that they came from."""
    exclude = filters.exclude
    return {
        "exclude": fingerprint(exclude.indptr.astype(np.int64), exclude.indices.astype(np.int64)),
        "items or filter_items": fingerprint(filters.allowed),
        "groups": fingerprint(filters.groups),
        "max_per_group": filters.max_per_group,
    }


def table(user_ids: np.ndarray, item_ids: np.ndarray, found: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return what was found for some users as a pyarrow Table, a row for each recommendation.

    ``user_ids`` are those of the users, ``item_ids`` those of all items.
    """
    import pyarrow as pa

    rows, distances = found
    there = rows >= 0
    owners, ranks = np.nonzero(there)
    lengths = distances[there]
    return pa.table(
        {
            "user": _column(user_ids[owners]),
            "rank": pa.array(ranks + 1, pa.int64()),
            "item": _column(item_ids[rows[there]]),
            # Popular items, which users without likes in training get, have no distance.
            "distance": pa.array(lengths, pa.float32(), mask=np.isnan(lengths)),
        }
    )


def check_text(name: str, ids: np.ndarray) -> None:
    """Raise ValueError if an id cannot be written."""
    if ids.dtype == object:
        for id in ids.tolist():
            try:
                id.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"{name} has {quoted(id)}, which is not valid Unicode and cannot be written to "
                    "a file"
                ) from None


def _column(ids: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(ids, pa.int64() if ids.dtype == np.int64 else pa.string())
