"""What the tests of the kernels share: random data, jobs, and the oracle beside them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from oracle import training
from oracle.problem import Settings as OracleSettings
from oracle.problem import Tables as OracleTables

from cml_fast import _core
from cml_fast._compute import kernels, tables
from cml_fast._compute.array_api import to_numpy
from cml_fast._compute.settings import ADAGRAD_EPSILON, Settings
from support.emulated import EmulatedJob

INSTRUCTION_SETS: list[str] = _core.build_info()[
    "instruction_sets"
]  # that run here, the best first
DEFAULTS = {
    "n_dims": 33,
    "n_negatives": 7,
    "margin": 0.3,
    "learning_rate": 0.1,
    "max_norm": 1.0,
    "n_threads": 1,
    "seed": 2**63 + 12345,
}

# The emulated devices, as options of EmulatedJob: the second has no cooperative launches.
EMULATED: dict[str, dict[str, Any]] = {"emulated": {}, "emulated-graph": {"cooperative": False}}


class Tables(tables.Tables):
    """The package's tables; those of the emulated devices lie in the CPU's memory."""

    def __init__(self, device: str, n_dims: int, *vectors: np.ndarray, **tables: Any) -> None:
        self.emulation = EMULATED.get(device)
        super().__init__("cpu" if device in EMULATED else device, n_dims, *vectors, **tables)


def make_job(tables: Tables, likes: sp.csr_array, chosen: Settings, **emulation: Any) -> Any:
    """The package's job, or one on an emulated device; ``emulation`` is for EmulatedJob."""
    if tables.emulation is None:
        return kernels.make_job(tables, likes, chosen)
    weighted = likes.data.min() != 1 or likes.data.max() != 1
    arrays = {
        **tables.arrays,
        "indptr": likes.indptr.astype(np.int64, copy=False),
        "indices": likes.indices.astype(np.int32, copy=False),
        "weights": likes.data if weighted else None,
        "rank_weights": _core.rank_weights(tables.shape[1], chosen.n_negatives),
    }
    largest_gradient = kernels.gradient_bound(chosen, arrays["rank_weights"], likes.data)
    return EmulatedJob(arrays, chosen, largest_gradient, **{**tables.emulation, **emulation})


def settings(**changes: Any) -> Settings:
    return Settings(**{**DEFAULTS, **changes})


def random_likes(
    rng: np.random.Generator,
    n_users: int,
    n_items: int,
    *,
    density: float = 0.3,
    weighted: bool = False,
) -> sp.csr_array:
    """Random likes, with up to four special users among the rows: one like, every item, every
    item but one, and no like."""
    dense = rng.random((n_users, n_items)) < density
    dense[:4] = False
    dense[0, rng.integers(n_items)] = True
    dense[1:3] = True
    dense[2:3, rng.integers(n_items)] = False
    likes = sp.csr_array(dense[rng.permutation(n_users)].astype(np.float32))
    if weighted:
        likes.data[:] = rng.uniform(0.5, 3, likes.nnz)
    return likes


def random_tables(
    device: str, shape: tuple[int, int], chosen: Settings, table_seed: int = 0
) -> Tables:
    rng = np.random.default_rng(table_seed)
    return Tables.random(device, shape, chosen.n_dims, chosen.max_norm, rng, rowwise=chosen.rowwise)


TABLE_NAMES = tuple(field.name for field in dataclasses.fields(OracleTables))


def larger_problem(device: str, **changes: Any) -> tuple[Tables, sp.csr_array, Settings]:
    """Fresh tables, weighted likes and settings; CUDA runs a single warp on them."""
    rng = np.random.default_rng(5)
    likes = random_likes(rng, 15, 60, weighted=True)
    chosen = settings(**changes)
    return random_tables(device, likes.shape, chosen), likes, chosen


def snapshot(tables: Tables) -> dict[str, np.ndarray]:
    """Copies of the four tables in NumPy, padding included."""
    return {name: to_numpy(array) for name, array in tables.arrays.items()}


def digest(arrays: dict[str, np.ndarray]) -> str:
    """The SHA-256 of the four tables."""
    return hashlib.sha256(b"".join(arrays[name].tobytes() for name in TABLE_NAMES)).hexdigest()


def mostly_slow(fast: list[tuple[Any, ...]], every: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Every case as parameters of a test; those that are not in ``fast`` are slow tests."""
    cases = list(every)
    assert all(case in cases for case in fast)
    marks = [pytest.mark.slow, pytest.mark.exhaustive]
    return [case if case in fast else pytest.param(*case, marks=marks) for case in cases]


# --- the oracle -------------------------------------------------------------------------------


def oracle_of(tables: Tables) -> OracleTables:
    """The tables as they are now, for the oracle to train."""
    return OracleTables(**tables.to_numpy())


def oracle_settings(chosen: Settings, **changes: Any) -> OracleSettings:
    shared = {field.name for field in dataclasses.fields(OracleSettings)}
    values = {k: v for k, v in dataclasses.asdict(chosen).items() if k in shared}
    return OracleSettings(**values, epsilon=ADAGRAD_EPSILON, **changes)


def train_oracle(
    oracle: OracleTables, likes: sp.csr_array, begin: int, end: int, chosen: Settings
) -> dict[str, float]:
    """Train the oracle's tables in place; return its counters."""
    bound = 1.0  # only mini-batches need it
    if chosen.batch_size:
        rank_weights = _core.rank_weights(likes.shape[1], chosen.n_negatives)
        bound = kernels.gradient_bound(chosen, rank_weights, likes.data)
    return training.train(
        oracle, likes, begin, end, oracle_settings(chosen, largest_gradient=bound)
    )


Problem = Callable[..., tuple[Tables, sp.csr_array, Settings]]
"""A function of a device and of changed settings, like `larger_problem`."""


@functools.cache
def _oracle_result(
    problem: Problem, begin: int, end: int, changes: tuple[tuple[str, Any], ...]
) -> tuple[OracleTables, dict[str, float]]:
    """What the oracle learns: computed once for all devices."""
    tables, likes, chosen = problem("cpu", **dict(changes))
    oracle = oracle_of(tables)
    return oracle, train_oracle(oracle, likes, begin, end, chosen)


def check_against_oracle(
    problem: Problem, device: str, begin: int, end: int | None, **changes: Any
) -> Any:
    """Train on a device: tables are the oracle's to the bit, and so are the counters, which are
    returned. Without ``end`` the training is of two epochs."""
    tables, likes, chosen = problem(device, **changes)
    end = 2 * likes.nnz if end is None else end
    oracle, expected = _oracle_result(problem, begin, end, tuple(sorted(changes.items())))
    counters = make_job(tables, likes, chosen).run(begin, end)
    assert_same_counters(counters, expected)
    assert_same_tables(tables, oracle)
    return counters


def assert_same_tables(tables: Tables, oracle: OracleTables) -> None:
    """Equal to the bit, and the padding is still zero."""
    for name, array in snapshot(tables).items():
        expected = getattr(oracle, name)
        columns = expected.shape[1]
        np.testing.assert_array_equal(array[:, :columns], expected, name)
        assert not array[:, columns:].any(), name


def assert_same_counters(counters: Any, expected: dict[str, float]) -> None:
    for name in ("pairs", "active", "impostors", "skipped"):
        assert getattr(counters, name) == expected[name], name
    # A sum of float32 losses in float64.
    assert counters.loss == pytest.approx(expected["loss"], rel=1e-12)
    assert counters.first_non_finite is None


# --- arguments of _core.Job -------------------------------------------------------------------


def job_arguments(**changes: Any) -> dict[str, Any]:
    """Valid arguments of ``_core.Job`` for the CPU, for two users, four items and four pairs."""
    tables = random_tables("cpu", (2, 4), settings(n_dims=5))
    arguments: dict[str, Any] = {
        **tables.arrays,
        "indptr": np.array([0, 1, 4], dtype=np.int64),
        "indices": np.array([2, 0, 1, 2], dtype=np.int32),
        "weights": np.ones(4, dtype=np.float32),
        "rank_weights": _core.rank_weights(4, 7),
        "loss": "warp",
        "n_dims": 5,
        "n_negatives": 7,
        "tile_size": 1,
        "margin": 0.5,
        "temperature": 1.0,
        "importance_weight": 1.0,
        "negative_weight": 1.0,
        "learning_rate": 0.1,
        "epsilon": 1e-8,
        "max_norm": 1.0,
        "seed": 3,
        "batch_size": 0,
        "pairs_per_part": 0,
        "precision": "float32",
        "largest_gradient": 10.0,
        "n_threads": 1,
        "instruction_set": _core.build_info()["instruction_sets"][0],
    }
    return {**arguments, **changes}
