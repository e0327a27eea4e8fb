"""Recommendations and evaluations whose rankings are made by workers on Ray."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import evaluation
from .._search.filters import Filters
from .._validation.scalars import check_int
from ..metrics.result import Evaluation
from ..model import Model
from ._cluster import check_resources, connected, options_of

_ONE_CPU: Mapping[str, float] = {"CPU": 1}


def evaluate(
    model: Model,
    test: Any,
    exclude: Any = None,
    *,
    n_workers: int,
    resources: Mapping[str, float] = _ONE_CPU,
    address: str | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a model, with rankings made by several workers: the numbers are those of one.

    Parameters
    ----------
    model : Model
    test, exclude, **options
        As for `evaluation.evaluate`.
    n_workers, resources, address
        As for `distributed.fit`.

    Returns
    -------
    Evaluation

    Raises
    ------
    ImportError, ConnectionError
        As for `distributed.fit`.
    TypeError, ValueError, DataError
        For arguments that cannot be used.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast import Model
    >>> from cml_fast.distributed import evaluate
    >>> model = Model([[0.0]], [[1.0], [2.0], [3.0], [4.0]])
    >>> evaluate(model, sp.csr_array([[0, 1, 0, 1]]), n_workers=0)
    Traceback (most recent call last):
    ...
    ValueError: n_workers must be at least 1, got 0
    """
    needed = _check(model, n_workers, resources)
    with connected(address, n_workers, needed) as ray:
        return evaluation.evaluate(_Remote(model, ray, n_workers, needed), test, exclude, **options)


def recommend_all(
    model: Model,
    out: str | os.PathLike[str],
    n: int = 10,
    exclude: Any = None,
    *,
    n_workers: int,
    resources: Mapping[str, float] = _ONE_CPU,
    address: str | None = None,
    **options: Any,
) -> Path:
    """Write recommendations for all users, found by several workers: the file is that of one.

    Parameters
    ----------
    model : Model
    out, n, exclude, **options
        As for `Model.recommend_all`; exact search on CPUs only. The file is written by this
        process.
    n_workers, resources, address
        As for `distributed.fit`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImportError, ConnectionError
        As for `distributed.fit`.
    TypeError, ValueError, DataError, OSError
        As for `Model.recommend_all`.

    Examples
    --------
    >>> from cml_fast import Model
    >>> from cml_fast.distributed import recommend_all
    >>> recommend_all(Model([[0.0]], [[1.0]]), "recs.csv", n_workers=0)
    Traceback (most recent call last):
    ...
    ValueError: n_workers must be at least 1, got 0
    """
    needed = _check(model, n_workers, resources)
    if options.get("approximate") or options.get("device") == "cuda":
        raise ValueError(
            "workers search exactly, on CPUs: leave out approximate and device, or call "
            "Model.recommend_all"
        )
    with connected(address, n_workers, needed) as ray:
        remote = _Remote(model, ray, n_workers, needed)
        return remote.recommend_all(out, n, exclude, **{**options, "device": "cpu"})


def _check(model: Any, n_workers: int, resources: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    check_int("n_workers", n_workers, 1)
    needed = check_resources(resources)
    if needed.get("GPU"):
        raise ValueError("resources must not ask for GPUs: workers search on CPUs. Leave GPU out")
    return needed


class _Remote(Model):
    """A model whose searches are made by Ray tasks, each for some of the queries.

    Ray repeats a task whose worker was lost.
    """

    def __init__(self, model: Model, ray: Any, n_workers: int, resources: dict[str, float]) -> None:
        self.__dict__.update(model.__dict__)
        self._ray, self._n_workers = ray, n_workers
        self._n_threads = int(resources["CPU"])
        self._task = ray.remote(_search).options(**options_of(resources))
        self._remote_model = ray.put(model)

    def _ranked(
        self, rows: np.ndarray, n: int, mask: sp.csr_array, n_threads: int | None
    ) -> np.ndarray:
        filters = Filters(mask)
        found = self._search(self._user_vectors[rows], n, filters, False, n_threads, {})
        self._give_popular(rows, found, filters)
        return found[0]

    def _search(
        self,
        queries: np.ndarray,
        n: int,
        filters: Filters,
        approximate: bool,
        n_threads: int | None,
        options: dict[str, Any],
        *,
        device: str = "cpu",
    ) -> tuple[np.ndarray, np.ndarray]:
        self._check_search(approximate, options)
        cuts = np.linspace(0, len(queries), self._n_workers + 1).astype(int)
        parts = [
            self._task.remote(
                self._remote_model,
                queries[begin:end],
                n,
                filters.of(np.arange(begin, end)),
                self._n_threads,
            )
            for begin, end in itertools.pairwise(cuts)
            if begin < end
        ]
        rows, distances = zip(*self._ray.get(parts), strict=True)
        return np.concatenate(rows), np.concatenate(distances)


def _search(
    model: Model, queries: np.ndarray, n: int, filters: Filters, n_threads: int
) -> tuple[np.ndarray, np.ndarray]:
    return model._search(queries, n, filters, False, n_threads, {})
