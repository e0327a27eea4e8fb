"""Compiled training jobs: the tables and likes of a device, handed to its kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _core
from .devices import instruction_set
from .gradient_bound import gradient_bound
from .losses import shares_negatives
from .settings import ADAGRAD_EPSILON, Settings
from .tables import Tables


def launch_granularity(settings: Settings) -> int:
    """Launches begin and end at multiples of this many samples from the start of an epoch."""
    if settings.batch_size > 0:
        return settings.batch_size
    return settings.tile_size if shares_negatives(settings.loss) else 1


def make_job(tables: Tables, likes: sp.csr_array, settings: Settings) -> Any:
    """Make a compiled job that trains ``tables`` on ``likes`` (canonical CSR, float32)."""
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
                    likes.nnz,
                    *tables.shape,
                    tables.arrays["users"].shape[1],
                    settings.precision,
                ),
                dtype=cupy.uint8,
            ),
        }
    job = _core.Job(
        tables.device,
        **tables.arrays,
        **arrays,
        **device,
        loss=settings.loss,
        n_dims=settings.n_dims,
        n_negatives=settings.n_negatives,
        tile_size=settings.tile_size,
        **{name: getattr(settings, name) for name in _core.LOSS_PARAMETERS},
        learning_rate=settings.learning_rate,
        epsilon=ADAGRAD_EPSILON,
        max_norm=settings.max_norm,
        seed=settings.seed,
        batch_size=settings.batch_size,
        pairs_per_part=settings.pairs_per_part,
        precision=settings.precision,
        largest_gradient=gradient_bound(settings, rank_weights, likes.data),
    )
    return CudaJob(job) if tables.device == "cuda" else job


class CudaJob:
    """A job on the CUDA device that is current when it is made.

    Its launches are on that device, also where another one is current by then, and in the stream
    in which CuPy works on that device at that moment.
    """

    def __init__(self, job: Any) -> None:
        import cupy

        self._job = job
        self._device = cupy.cuda.Device()

    @property
    def learning_rate(self) -> float:
        """The step size of AdaGrad, which may change between launches."""
        rate: float = self._job.learning_rate
        return rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._job.learning_rate = rate

    def run(self, begin: int, end: int) -> Any:
        return self._launch(self._job.run, begin, end)

    def step(self, table: str, rows: Any, gradients: Any) -> Any:
        return self._launch(self._job.step, table, rows, gradients)

    def _launch(self, function: Callable[..., Any], *arguments: Any) -> Any:
        import cupy

        with self._device:
            return function(*arguments, stream=cupy.cuda.get_current_stream().ptr)
