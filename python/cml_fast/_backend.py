"""Where the tables live and which kernel walks them: the CPU through NumPy, CUDA through CuPy."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from . import _core
from .errors import DeviceUnavailable
from .reference_tile import largest_gradient

ISA_VARIABLE = "CML_FAST_ISA"
ADAGRAD_EPSILON = 1e-8
HUGE_PAGE_FLOATS = (2 << 20) // 4


@dataclass(frozen=True)
class Settings:
    """Checked hyper-parameters of the training step."""

    n_dims: int
    n_negatives: int
    margin: float
    learning_rate: float
    max_norm: float
    n_threads: int
    seed: int
    batch_size: int = 0  # pairs of a synchronous mini-batch; 0: asynchronous updates
    per_row: bool = False  # AdaGrad keeps one accumulator for each row
    loss: str = "warp"
    tile_size: int = 1  # pairs that share negatives
    temperature: float = 1.0
    correction: float = 1.0  # c in csrc/core/losses/softmax.h
    negative_weight: float = 1.0  # W / U in csrc/core/losses/contrastive.h
    averaging: float = 0.0  # 0: vectors are not averaged over epochs
    cov_weight: float = 0.0  # 0: no covariance regularisation
    cov_interval: int = 1
    # For training with features.
    n_hidden: int = 1
    feature_weight: float = 1.0
    feature_learning_rate: float = 0.1
    feature_interval: int = 1
    feature_warm_up: int = 0


# --- choosing a device ------------------------------------------------------------------------


def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, or None if it can."""
    cuda = _core.build_info()["cuda"]
    if not cuda["built"]:
        return str(cuda["problem"])
    if cuda["problem"]:
        return f"no usable CUDA device: {cuda['problem']}"
    try:
        import cupy
    except ImportError as error:
        return (
            f"CuPy cannot be imported ({error}); install the extra that fits the driver: "
            "pip install cml-fast[cuda13] or cml-fast[cuda12]"
        )
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device"
    return None


def choose_device(device: Any) -> tuple[str, str]:
    """Return ("cpu" or "cuda", a sentence that says why)."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "cpu":
        return "cpu", "device='cpu' was asked for"
    problem = cuda_problem()
    if problem is None:
        return "cuda", "a CUDA device is available"
    if device == "cuda":
        raise DeviceUnavailable(f"device='cuda' cannot be used: {problem}")
    return "cpu", f"CUDA is off: {problem}"


def instruction_set() -> str:
    """The CPU kernel to use: the best one for this machine, or the one the environment forces."""
    usable: list[str] = _core.build_info()["instruction_sets"]
    forced = os.environ.get(ISA_VARIABLE)
    if forced:
        if forced not in usable:
            raise ValueError(
                f"{ISA_VARIABLE}={forced!r} has no kernel on this machine; choose from {usable}"
            )
        return forced
    if not usable:
        raise DeviceUnavailable("this CPU is older than x86-64-v2 (SSE4.2): no kernel runs on it")
    return usable[0]


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads(n_users: int, n_items: int) -> int:
    """All cores, but few enough that pairs in flight seldom share a row (see the CUDA rule)."""
    return max(1, min(usable_cores(), min(n_users, n_items) // 8))


# --- tables -----------------------------------------------------------------------------------


def _aligned_zeros(shape: tuple[int, int]) -> np.ndarray:
    """float32 zeros that begin on a cache line, large ones on a huge page.

    NumPy asks Linux for huge pages, which hold a table in fewer entries of the address cache; the
    system gives whole ones only.
    """
    size = shape[0] * shape[1]
    alignment = HUGE_PAGE_FLOATS if size >= 2 * HUGE_PAGE_FLOATS else _core.ROW_ALIGNMENT
    buffer = np.zeros(size + alignment, dtype=np.float32)
    offset = -(buffer.ctypes.data // buffer.itemsize) % alignment
    return buffer[offset : offset + size].reshape(shape)


def _first_vectors(
    shape: tuple[int, int], max_norm: float, generator: np.random.Generator
) -> np.ndarray:
    """Normally distributed rows of expected squared norm max_norm^2, pulled into the ball."""
    rows = generator.standard_normal(shape, dtype=np.float32)
    rows *= np.float32(max_norm / np.sqrt(shape[1]))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= np.float32(max_norm) / np.maximum(norms, np.float32(max_norm))
    return rows


class Tables:
    """Vectors and AdaGrad accumulators of users and items, in the memory of one device.

    Each is float32, (rows, n_dims rounded up to 16); what lies beyond n_dims is zero. With one
    accumulator for each row (``per_row``), those are (rows, 1).
    """

    def __init__(
        self,
        device: str,
        n_dims: int,
        users: np.ndarray,
        items: np.ndarray,
        user_accumulators: np.ndarray | None = None,
        item_accumulators: np.ndarray | None = None,
        *,
        per_row: bool = False,
    ) -> None:
        """Copy arrays of n_dims columns; accumulators are zero by default."""
        self.device = device
        self.n_dims = n_dims
        self.per_row = per_row
        given = {
            "users": users,
            "user_accumulators": user_accumulators,
            "items": items,
            "item_accumulators": item_accumulators,
        }
        self.arrays = {}
        for name, values in given.items():
            if values is None:
                vectors = users if name == "user_accumulators" else items
                values = np.zeros((len(vectors), self._columns_of(name)), dtype=np.float32)
            self.arrays[name] = self.padded(
                values, padding=not (per_row and name.endswith("_accumulators"))
            )

    @classmethod
    def random(
        cls,
        device: str,
        shape: tuple[int, int],
        n_dims: int,
        max_norm: float,
        generator: np.random.Generator,
        *,
        per_row: bool = False,
    ) -> Tables:
        """Random vectors in the ball of radius ``max_norm``."""
        users, items = (_first_vectors((rows, n_dims), max_norm, generator) for rows in shape)
        return cls(device, n_dims, users, items, per_row=per_row)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.arrays["users"]), len(self.arrays["items"])

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Users and items as NumPy arrays of n_dims columns (copies)."""
        return self._columns("users"), self._columns("items")

    def to_numpy(self) -> dict[str, np.ndarray]:
        """All four tables as NumPy arrays of n_dims columns (copies), by name."""
        return {name: self._columns(name) for name in self.arrays}

    def on(self, device: str) -> Tables:
        """These tables if they are on ``device``, otherwise a copy there."""
        if device == self.device:
            return self
        return Tables(device, self.n_dims, **self.to_numpy(), per_row=self.per_row)

    def copy(self) -> Tables:
        """The tables as they are now, in the memory of their device."""
        return copy.deepcopy(self)

    def is_like(self, other: Tables) -> bool:
        """Whether both have as many users, items, dimensions and accumulators."""
        return (self.shape, self.n_dims, self.per_row) == (
            other.shape,
            other.n_dims,
            other.per_row,
        )

    def restore(self, other: Tables) -> None:
        """Take over what ``other``, a copy of these tables, holds."""
        for name, array in self.arrays.items():
            array[...] = other.arrays[name]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies and unpickled tables lie where NumPy puts them: align them again."""
        self.__dict__.update(state)
        if self.device == "cpu":
            for name, array in self.arrays.items():
                self.arrays[name] = _aligned_zeros(array.shape)
                self.arrays[name][...] = array

    def padded(self, values: Any, *, padding: bool = True) -> Any:
        """A copy of an array of n_dims columns in rows like those of the tables.

        Without ``padding`` the columns stay as they are.
        """
        width = -(-self.n_dims // _core.ROW_ALIGNMENT) * _core.ROW_ALIGNMENT
        columns = values.shape[1]
        shape = (len(values), width if padding else columns)
        if self.device == "cpu":
            table = _aligned_zeros(shape)
        else:
            import cupy

            table, values = cupy.zeros(shape, dtype=cupy.float32), cupy.asarray(values)
        table[:, :columns] = values
        return table

    def _columns_of(self, name: str) -> int:
        """Columns of a table without the padding."""
        return 1 if self.per_row and name.endswith("_accumulators") else self.n_dims

    def _columns(self, name: str) -> np.ndarray:
        """A copy of a table without the padding."""
        copied: np.ndarray = self._to_numpy(self.arrays[name])[:, : self._columns_of(name)].copy()
        return copied

    def _to_numpy(self, array: Any) -> np.ndarray:
        if self.device == "cpu":
            return array  # type: ignore[no-any-return]
        return array.get()  # type: ignore[no-any-return]


def _largest_gradient(rank_weights: np.ndarray, weights: np.ndarray, settings: Settings) -> float:
    """A bound of the norm of every gradient that a mini-batch adds up.

    It is a little more than a gradient can be in the ball. The bound that the paper's loss gives is
    2 w sqrt(2 (d_ij^2 + d_ik^2)), and a distance in the ball is at most its diameter. Where pairs
    share negatives, a row may get a gradient from every pair of a tile: see reference_tile.py. A
    gradient whose square float32 cannot hold is refused in any case.
    """
    if settings.loss == "warp":
        largest_weight = float(rank_weights.max()) * float(weights.max())
        bound = 1.001 * 8 * largest_weight * settings.max_norm
    else:
        bound = largest_gradient(float(weights.max()), settings)
        if settings.batch_size > 0 and bound > 1e15:
            raise ValueError(
                f"weights of train up to {weights.max():g} may give gradients up to {bound:g}, "
                "and mini-batches add them up exactly up to 1e15; make the weights, or "
                "1 / temperature or negative_weight, smaller"
            )
    return float(np.clip(bound, 1e-15, 1e15))


def launch_unit(settings: Settings) -> int:
    """Launches begin and end at multiples of so many visits from the start of an epoch."""
    if settings.batch_size > 0:
        return settings.batch_size
    return 1 if settings.loss == "warp" else settings.tile_size


def make_job(tables: Tables, likes: sp.csr_array, settings: Settings) -> Any:
    """A compiled job that trains ``tables`` on ``likes`` (canonical CSR, float32)."""
    rank_weights = _core.rank_weights(tables.shape[1], settings.n_negatives)
    weighted = likes.data.min() != 1 or likes.data.max() != 1
    arrays = {
        "indptr": likes.indptr.astype(np.int64, copy=False),
        "indices": likes.indices.astype(np.int32, copy=False),
        "weights": likes.data if weighted else None,
        "rank_weights": rank_weights,
    }
    device: dict[str, Any] = {
        "n_threads": settings.n_threads,
        "instruction_set": instruction_set(),
    }
    if tables.device == "cuda":
        import cupy

        arrays = {
            name: None if array is None else cupy.asarray(array) for name, array in arrays.items()
        }
        device = {
            "counters": cupy.zeros(_core.CUDA_COUNTERS, dtype=cupy.int64),
            "batch": cupy.zeros(
                _core.cuda_batch_bytes(
                    settings.loss,
                    settings.n_dims,
                    settings.n_negatives,
                    settings.tile_size,
                    min(settings.batch_size, likes.nnz),
                    *tables.shape,
                    tables.arrays["users"].shape[1],
                ),
                dtype=cupy.uint8,
            ),
            "stream": cupy.cuda.get_current_stream().ptr,
        }
    return _core.Job(
        tables.device,
        **tables.arrays,
        **arrays,
        **device,
        loss=settings.loss,
        n_dims=settings.n_dims,
        n_negatives=settings.n_negatives,
        tile_size=settings.tile_size,
        margin=settings.margin,
        temperature=settings.temperature,
        correction=settings.correction,
        negative_weight=settings.negative_weight,
        learning_rate=settings.learning_rate,
        epsilon=ADAGRAD_EPSILON,
        max_norm=settings.max_norm,
        seed=settings.seed,
        batch_size=settings.batch_size,
        largest_gradient=_largest_gradient(rank_weights, likes.data, settings),
    )
