"""Build the index that a wish asks for: which kind, and with how much effort to search it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .._validation.scalars import check_between, check_choice, check_int
from .index import KINDS, SEARCH, ItemIndex, build_index
from .tuning import Trial, tune

AUTO = "auto"
# Up to so many numbers (items x dimensions), exact search of one query takes about as long as the
# Python code around any index.
EXACT_UP_TO = 1_000_000
# What "auto" tries, the fastest at recall 0.98 first, by the benchmark (python -m benchmarks.topk).
PREFERRED = ("faiss", "hnswlib", "usearch", "annoy")
LEAST_RECALL = 0.01


def choose_index(
    kind: str,
    items: np.ndarray,
    users: np.ndarray,
    counts: np.ndarray | None,
    recall: float | None,
    n: int,
    options: dict[str, Any],
) -> ItemIndex:
    """Build an index of ``items`` that finds ``recall`` of the ``n`` nearest to one of ``users``.

    Errors and warnings are those of `Model.build_index`; they point at the caller of the caller.
    """
    check_choice("kind", kind, (AUTO, *KINDS))
    n = min(check_int("n", n, 1), len(items))
    if recall is not None:
        recall = check_between("recall", recall, LEAST_RECALL, 1)
    if kind == AUTO:
        return _automatic(items, lambda: Trial(users, items, n, counts), recall, options)
    index = build_index(kind, items, options)
    if recall is not None and not _reaches(index, Trial(users, items, n, counts), recall):
        warnings.warn(
            f"the index of kind {kind!r} finds {index.info['recall']:.3f} of the {n} nearest "
            f"items, not recall={recall:g}: build it with other options, or as another kind",
            stacklevel=3,
        )
    return index


def _automatic(
    items: np.ndarray,
    make_trial: Callable[[], Trial],
    recall: float | None,
    options: dict[str, Any],
) -> ItemIndex:
    """Build the first kind that is installed and reaches the wish; exact search if there is none.

    No kind but the last one that was built is kept in memory.
    """
    for name, value in options.items():
        raise TypeError(f"{name}={value!r} needs a kind: one of {tuple(KINDS)}, not {AUTO!r}")
    exact = build_index("exact", items, {})
    trial = make_trial()
    if items.size > EXACT_UP_TO:
        for kind in PREFERRED:
            try:
                index = build_index(kind, items, {})
            except ImportError:
                continue
            if _reaches(index, trial, 0.0 if recall is None else recall):
                return index
    _reaches(exact, trial, 1.0)
    return exact


def _reaches(index: ItemIndex, trial: Trial, wish: float) -> bool:
    """Give the index the search options for a wish; return whether they fulfil it."""
    options, recall = tune(index, trial, wish)
    index.info |= {SEARCH: options, "recall": recall, "n": trial.n, "users": len(trial.queries)}
    return recall >= wish
