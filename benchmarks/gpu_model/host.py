"""The grids that csrc/cuda/train.cu chooses: its code is asked, on the emulated device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from cml_fast import _core

from ..common.machine_speed import padded
from ..common.training_job import Settings
from ..gpu_check.process import ROOT

sys.path.append(str(ROOT / "tests"))
from support import emulated


def build(folder: Path) -> None:
    """Compile the code that launches kernels, without any kernel, and load it."""
    emulated.load(emulated.build(folder, kernels=()))


def launches(
    settings: Settings, shape: tuple[int, int], n_pairs: int, multiprocessors: int, blocks: int
) -> list[emulated.Launch]:
    """The kernels of one mini-batch or, without batches, of an epoch, on a device whose
    multiprocessors hold so many blocks each."""

    def array(*shape: int, dtype: Any = np.float32) -> np.ndarray:
        return np.broadcast_to(np.zeros((), dtype=dtype), shape)  # takes no memory, is not read

    stride = padded(settings.n_dims)
    arrays: dict[str, Any] = {}
    for side, n in zip(("user", "item"), shape, strict=True):
        arrays[f"{side}s"] = array(n, stride)
        arrays[f"{side}_accumulators"] = array(n, 1 if settings.rowwise else stride)
    arrays["indptr"] = array(shape[0] + 1, dtype=np.int64)
    arrays["indices"] = array(n_pairs, dtype=np.int32)
    arrays["rank_weights"] = _core.rank_weights(shape[1], settings.n_negatives)
    arrays["weights"] = None
    job = emulated.EmulatedJob(arrays, settings, 1.0)
    return job.launches(0, min(settings.batch_size or n_pairs, n_pairs), multiprocessors, blocks)
