"""Types of the compiled module; csrc/bindings/module.cpp defines it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_DIMS: int
MAX_NEGATIVES: int
MAX_TILE_SIZE: int
ROW_ALIGNMENT: int
MAX_BATCH_SIZE: int
MAX_PAIRS_PER_PART: int

# The name of every loss, and whether all pairs of a tile share their negatives.
LOSSES: dict[str, bool]
# The keyword arguments of Job that belong to single losses.
LOSS_PARAMETERS: tuple[str, ...]

# Only where the build has CUDA kernels.
CUDA_COUNTERS: int

def cuda_batch_bytes(
    loss: str,
    n_dims: int,
    n_negatives: int,
    tile_size: int,
    batch_size: int,
    n_pairs: int,
    n_users: int,
    n_items: int,
    stride: int,
    precision: str,
) -> int: ...

# Why the current device cannot compute with bfloat16; empty if it can.
def cuda_bfloat16_problem() -> str: ...

# Arrays have __cuda_array_interface__; csrc/bindings/selection.h says what they are.
def cuda_select(
    scores: Any,
    indptr: Any,
    indices: Any,
    n: int,
    slack: Any,
    columns: Any,
    found: Any,
    stream: int,
) -> None: ...

class Counters:
    """What a launch reports."""

    @property
    def pairs(self) -> int: ...
    @property
    def active(self) -> int: ...
    @property
    def impostors(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def first_non_finite(self) -> int | None: ...

class Job:
    """A checked training job."""

    learning_rate: float  # may change between launches

    # Arrays are NumPy's on "cpu" and have __cuda_array_interface__ on "cuda".
    def __init__(
        self,
        device: str,
        *,
        users: Any,
        user_accumulators: Any,
        items: Any,
        item_accumulators: Any,
        indptr: Any,
        indices: Any,
        weights: Any,
        rank_weights: Any,
        loss: str,
        n_dims: int,
        n_negatives: int,
        tile_size: int,
        margin: float,
        temperature: float,
        importance_weight: float,
        negative_weight: float,
        learning_rate: float,
        epsilon: float,
        max_norm: float,
        seed: int,
        batch_size: int,  # samples of a synchronous mini-batch; 0: asynchronous updates
        pairs_per_part: int,  # a power of two; 0: all pairs are one part
        precision: str,  # "float32" or, for losses whose pairs share negatives, "bfloat16"
        largest_gradient: float,  # a bound of the norm of every gradient
        n_threads: int = ...,  # "cpu" needs these two,
        instruction_set: str = ...,
        counters: Any = ...,  # "cuda" needs these three
        batch: Any = ...,
        stream: int = ...,
    ) -> None: ...
    def run(self, begin: int, end: int) -> Counters: ...
    def step(self, table: str, rows: Any, gradients: Any) -> int | None: ...
    def fold_in(
        self, begin: int, end: int, n_epochs: int, retention: float = 1.0
    ) -> int | None: ...

def build_info() -> dict[str, Any]: ...
def rank_weights(n_items: int, n_negatives: int) -> NDArray[np.float32]: ...
def fixed_point(batch_size: int, largest_gradient: float) -> list[float]: ...

# Draws of the core, for tests.
def philox(key: Sequence[int], counter: Sequence[int]) -> list[int]: ...
def visit_order(
    n: int, seed: int, epoch: int, begin: int, end: int, pairs_per_part: int = 0
) -> NDArray[np.int64]: ...
def ranks_to_items(ranks: ArrayLike, liked: ArrayLike) -> NDArray[np.int32]: ...

# Candidates of a search: csrc/cpu/candidates.h.
def pair_distances(
    queries: ArrayLike, points: ArrayLike, rows: ArrayLike, columns: ArrayLike
) -> NDArray[np.float32]: ...
def rank_proposals(
    queries: ArrayLike,
    points: ArrayLike,
    proposals: ArrayLike,
    indptr: ArrayLike,
    indices: ArrayLike,
    n: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...

# What workers exchange, see distributed/_exchange.py: items are (vectors, accumulators), parcels
# (rows, vectors, accumulators).
def pack(
    now: tuple[Any, Any], start: tuple[Any, Any], n_dims: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]: ...
def combine(
    parcels: Sequence[tuple[Any, Any, Any]], combined: tuple[Any, Any], max_norm: float
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]: ...
def arrive(
    start: tuple[Any, Any],
    now: tuple[Any, Any],
    combined: tuple[Any, Any, Any],
    own: tuple[Any, Any, Any] | None,
    max_norm: float,
) -> None: ...
