"""Speed of our kernels alone, without the Python code around them: pairs per second of launches."""

from __future__ import annotations

import statistics
from functools import lru_cache
from typing import Any

import scipy.sparse as sp

from ..common.clock import pairs_per_second, rate, timed
from ..common.training_job import TrainingJob, random_tables
from .limits import pair_cost, shared_pair_cost

# Making large tables takes long: those of the last measurement are used again if they fit.
last_tables = lru_cache(maxsize=1)(random_tables)


def launches(n_pairs: int, unit: int, n_launches: int, most: int) -> list[tuple[int, int]]:
    """Begin and end of a first launch and of ``n_launches`` more, counted in pairs over all epochs.

    Each launch trains at most about ``most`` pairs, a multiple of ``unit``; or a whole epoch, if an
    epoch has too few pairs for all launches.
    """
    size = max(most // unit, 1) * unit
    if (n_launches + 1) * size > n_pairs:
        size = n_pairs
    return [(i * size, (i + 1) * size) for i in range(n_launches + 1)]


def measure(
    device: str, likes: sp.csr_array, n_launches: int, most: int, **arguments: Any
) -> dict[str, Any]:
    """Time launches with these arguments of Trainer, after a first one that is not timed."""
    job = TrainingJob(likes, device, make_tables=last_tables, **arguments)
    settings = job.settings
    first, *rest = launches(likes.nnz, job.launch_granularity, n_launches, most)
    job.run(*first)
    samples = []
    for begin, end in rest:
        counters: list[Any] = []
        taken = timed(
            device,
            lambda begin=begin, end=end, counters=counters: counters.append(job.run(begin, end)),
        )
        samples.append({"pairs": counters[0].pairs, "active": counters[0].active, **taken})
    rates = [pairs_per_second(sample, device) for sample in samples]
    size = settings.n_dims, settings.n_negatives
    if settings.loss == "warp":
        cost = pair_cost(samples[-1]["active"] / samples[-1]["pairs"], *size)
    else:
        cost = shared_pair_cost(*size, settings.tile_size)
    return {
        "shape": likes.shape,
        "n_pairs": likes.nnz,
        "samples": samples,
        "pairs_per_second": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "pairs_per_wall_second": statistics.median(
            rate(sample["pairs"], sample["wall_seconds"]) for sample in samples
        ),
        "pair_cost": cost,
        "bytes_per_second": statistics.median(rates) * cost["bytes"],
        "flops_per_second": statistics.median(rates) * cost["flops"],
    }
