"""From a checked request to its answer, by the methods of `Model`, in one thread."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..data._ids import IdIndex, id_array
from ..errors import TrainingDiverged
from .loaded import Loaded
from .messages import MAX_RESULTS, AskedFoldIn, AskedNeighbors, AskedRecommendations
from .refusal import INVALID, UNKNOWN, Refusal, shortened

Found = tuple[np.ndarray, np.ndarray]
Answer = dict[str, Any]


def recommend(loaded: Loaded, asked: AskedRecommendations) -> Answer:
    """Recommend items to users of the model."""
    _check_size(asked.users, asked.n)
    model = loaded.model
    users = _rows(model._users, "user", "users", asked.users)
    own = None if asked.exclude is None else _own_likes(loaded, asked)
    filters = _filters(loaded, asked)
    cold = model._is_cold(users)
    any_cold = bool(cold.any())
    with warnings.catch_warnings() if any_cold else contextlib.nullcontext():
        if any_cold:  # the answer says who is
            warnings.simplefilter("ignore", UserWarning)
        search = partial(
            _answered,
            model.recommend,
            n=asked.n,
            **filters,
            cold_users=asked.cold_users,
            **_way(loaded),
        )
        known = loaded.likes if asked.exclude_known else None
        if own is None:
            found = list(zip(*search(users, exclude=known), strict=True))
        else:
            found = [
                search(int(user), exclude=[known, likes])
                for user, likes in zip(users, own, strict=True)
            ]
    names = model.user_ids[users].tolist()
    results = [
        {"user": name, "cold": is_cold, "items": _listed("item", model.item_ids, each)}
        for name, is_cold, each in zip(names, cold.tolist(), found, strict=True)
    ]
    return {"results": results}


def similar(loaded: Loaded, asked: AskedNeighbors) -> Answer:
    """Find the nearest items of items, or the nearest users of users."""
    if (asked.items is None) == (asked.users is None):
        raise Refusal(INVALID, "items", "give items or users, one of them")
    model = loaded.model
    if asked.items is not None:
        what, index, given = "item", model._items, asked.items
        search = partial(model.similar_items, **_way(loaded))
    else:
        assert asked.users is not None
        what, index, given = "user", model._users, asked.users
        search = partial(model.similar_users, n_threads=1)
    _check_size(given, asked.n)
    rows = _rows(index, what, f"{what}s", given)
    found = zip(*_answered(search, rows, asked.n), strict=True)
    results = [
        {what: name, f"{what}s": _listed(what, index.array, each)}
        for name, each in zip(index.array[rows].tolist(), found, strict=True)
    ]
    return {"results": results}


def fold_in(loaded: Loaded, asked: AskedFoldIn) -> Answer:
    """Recommend items to a person by what the person likes."""
    model = loaded.model
    likes = _likes(loaded, "likes", asked.likes, asked.unknown)
    if not likes.nnz:
        raise Refusal(UNKNOWN, "likes", "the model has none of these items")
    vector = _answered(model.fold_in_users, likes, n_threads=1)[0]
    found = _answered(
        model.recommend_from_vectors,
        vector,
        asked.n,
        likes,
        **_filters(loaded, asked),
        **_way(loaded),
    )
    return {"items": _listed("item", model.item_ids, found)}


def _way(loaded: Loaded) -> dict[str, Any]:
    """Return how to search: with the index if there is one, and in one thread."""
    return {"approximate": loaded.has_index, "n_threads": 1}


def _check_size(queries: Sequence[Any], n: int) -> None:
    if len(queries) * n > MAX_RESULTS:
        raise Refusal(
            INVALID,
            "n",
            f"asks for {len(queries)} times {n} results, at most {MAX_RESULTS} are given at once",
        )


def _answered(search: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a method of the model; what it refuses is the request's fault."""
    try:
        return search(*args, **options)
    except (ValueError, TrainingDiverged) as error:
        raise Refusal(INVALID, None, str(error)) from error


def _own_likes(loaded: Loaded, asked: AskedRecommendations) -> list[sp.csr_array]:
    """Return what each user has already by the request."""
    given = asked.exclude or []
    if len(given) != len(asked.users):
        raise Refusal(
            INVALID,
            "exclude",
            f"must be a list of ids for each of the {len(asked.users)} users, got {len(given)} "
            "lists",
        )
    return [_likes(loaded, f"exclude[{at}]", ids, asked.unknown) for at, ids in enumerate(given)]


def _filters(loaded: Loaded, asked: AskedRecommendations | AskedFoldIn) -> dict[str, Any]:
    return {
        name: None if ids is None else _rows(loaded.model._items, "item", name, ids, asked.unknown)
        for name, ids in (("items", asked.items), ("filter_items", asked.filter_items))
    }


def _likes(loaded: Loaded, field: str, ids: list[Any], unknown: str) -> sp.csr_array:
    """Return items as the likes of one user: (1, n_items)."""
    rows = np.unique(_rows(loaded.model._items, "item", field, ids, unknown))
    shape = (1, len(loaded.model.item_ids))
    return sp.csr_array((np.ones(len(rows), np.float32), rows, [0, len(rows)]), shape=shape)


def _rows(
    index: IdIndex, what: str, field: str, ids: list[Any], unknown: str = "error"
) -> np.ndarray:
    """Return row numbers; unknown ids are refused or dropped."""
    try:
        rows = index.find(id_array(field, ids))
    except TypeError:
        raise Refusal(INVALID, field, "must be all integers or all strings") from None
    if rows.size and rows.min() < 0:
        if unknown == "error":
            at = int(np.argmin(rows))
            raise Refusal(
                UNKNOWN, f"{field}[{at}]", f"the model has no {what} {shortened(ids[at])}"
            )
        rows = rows[rows >= 0]
    return rows


def _listed(what: str, ids: np.ndarray, found: Found) -> list[Answer]:
    """Return what was found for one query; popular items have no distance."""
    rows, distances = found
    if rows.size and rows[-1] < 0:  # nearest first, what is missing last
        rows, distances = rows[rows >= 0], distances[rows >= 0]
    return [
        {what: name, "distance": None if isnan(far) else far}
        for name, far in zip(ids[rows].tolist(), distances.tolist(), strict=True)
    ]
