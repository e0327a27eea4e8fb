"""Our kernels alone, without what comes before and after them: pairs per second of launches."""

from __future__ import annotations

import statistics
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer
from cml_fast._arguments import check_settings
from cml_fast._backend import Tables, launch_unit, make_job

from .clock import rate, timed
from .limits import pair_cost, shared_pair_cost


@lru_cache(maxsize=1)
def tables(device: str, shape: tuple[int, int], n_dims: int, per_row: bool) -> Tables:
    """Those of the last measurement if they fit, as it left them."""
    return Tables.random(device, shape, n_dims, 1.0, np.random.default_rng(2), per_row=per_row)


def launches(n_pairs: int, unit: int, n_launches: int, most: int) -> list[tuple[int, int]]:
    """Visits of a first launch and of ``n_launches`` more: parts of an epoch, or whole epochs of
    few pairs. Parts are multiples of the unit, of which ``most`` should have one."""
    size = max(most // unit, 1) * unit
    if (n_launches + 1) * size > n_pairs:
        size = n_pairs
    return [(i * size, (i + 1) * size) for i in range(n_launches + 1)]


def measure(
    device: str, likes: sp.csr_array, n_launches: int, most: int, **arguments: Any
) -> dict[str, Any]:
    """Train with these arguments of Trainer; a first launch warms up, each of the next ones trains
    other pairs."""
    trainer = Trainer(temperature=0.21, **arguments)  # of the softmax: chosen by nobody
    settings = check_settings(trainer, likes.shape)
    job = make_job(tables(device, likes.shape, settings.n_dims, settings.per_row), likes, settings)
    pairs, active = 0, 0

    def launch(begin: int, end: int) -> None:
        nonlocal pairs, active
        counters = job.run(begin, end)
        if counters.first_non_finite is not None:
            raise RuntimeError(f"a value was not finite at visit {counters.first_non_finite}")
        pairs, active = counters.pairs, counters.active

    first, *rest = launches(likes.nnz, launch_unit(settings), n_launches, most)
    launch(*first)
    samples = []
    for begin, end in rest:
        taken = timed(device, lambda begin=begin, end=end: launch(begin, end))
        samples.append({"pairs": pairs, **taken})
    rates = [rate(sample, device) for sample in samples]
    size = settings.n_dims, settings.n_negatives
    warp = settings.loss == "warp"
    cost = pair_cost(active / pairs, *size) if warp else shared_pair_cost(*size)
    return {
        "shape": likes.shape,
        "samples": samples,
        "pairs_per_second": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "pairs_per_wall_second": statistics.median(
            sample["pairs"] / sample["wall_seconds"] for sample in samples
        ),
        "pair_cost": cost,
        "bytes_per_second": statistics.median(rates) * cost["bytes"],
        "flops_per_second": statistics.median(rates) * cost["flops"],
    }
