"""What a training will take: its memory, and about how long."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .._compute.kernels import launch_granularity
from .._memory import readable
from .fit_inputs import FitInputs
from .memory import memory_bytes
from .trials import Begin, MakeJob, sampled

# Of the short training that says how fast this machine is.
PAIRS = 1 << 16


def describe(inputs: FitInputs, n_epochs: int, begin: Begin, make_job: MakeJob) -> str:
    """Memory and time in a sentence, the time by a short training on a few of the users."""
    needed = memory_bytes(
        inputs.settings, inputs.likes.shape, validated=inputs.validation is not None
    )
    few = replace(sampled(inputs, PAIRS), features={}, ids={})
    job = make_job(few, begin(few, np.random.default_rng(0)))
    granularity, n_pairs = launch_granularity(inputs.settings), few.likes.nnz
    half = n_pairs // 2 // granularity * granularity  # in which threads start and caches fill
    job.run(0, half)
    begun = time.perf_counter()
    job.run(half, n_pairs)
    speed = (n_pairs - half) / max(time.perf_counter() - begun, 1e-9)
    return (
        f"this takes {readable(needed)} of memory beside the likes, and an epoch about "
        f"{_duration(inputs.likes.nnz / speed)}, of which there are {n_epochs} at most "
        f"({speed:,.0f} pairs per second in a short training)"
    )


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} seconds"
