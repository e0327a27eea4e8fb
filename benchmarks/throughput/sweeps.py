"""Our speed as one quantity grows: dimensions, negatives, batches, threads, items, pairs.

All but the last time the kernels on random likes, with which nearly all pairs are active: the most
expensive case. "pairs" times whole ``fit`` calls of one epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from cml_fast import Trainer, _core

from ..common.clock import pairs_per_second, timed
from ..common.machine_speed import padded
from ..common.measurement_store import LeftOut, MeasurementStore
from ..common.results_file import usable_cores
from . import kernel_speed
from .limits import limits
from .plan import Plan
from .training_data import GOWALLA, LARGE, Size, random_likes

WARP = {"loss": "warp", "n_dims": 100, "n_threads": 1}
SOFTMAX = {"loss": "softmax", "n_dims": 100, "n_threads": 1}
UPDATES = ("async", "sync")
DIMS_OF_MANY_ITEMS = 64  # so that ten million fit in 12 GB
USERS_OF_MANY_ITEMS, PAIRS_OF_MANY_ITEMS = 100_000, 4_000_000
DIMS_OF_MANY_PAIRS, PAIRS_PER_USER, ITEMS_OF_MANY_PAIRS = 32, 100, 100_000
SHARE_OF_MEMORY = 0.8  # that may be taken
BYTES_OF_A_PAIR = 50  # of random likes while they are made: five int64 arrays, and the matrix
FEW_USERS = 10_000


class Point(NamedTuple):
    sweep: str
    x: int
    what: str  # the line that it belongs to
    size: Size
    arguments: dict[str, Any]


def points(plan: Plan, device: str, scale: float) -> Iterator[Point]:
    gowalla, large = (size.times(scale) for size in (GOWALLA, LARGE))
    for update in UPDATES:
        warp, softmax = ({**loss, "update": update} for loss in (WARP, SOFTMAX))
        ours = f"paper's loss, {update}"
        for n in plan.dims:
            yield Point("dims", n, ours, gowalla, {**warp, "n_dims": n})
        for n in plan.negatives:
            yield Point("negatives", n, ours, gowalla, {**warp, "n_negatives": n})
        for n in plan.shared_negatives:
            name = f"softmax, {update}"
            yield Point("negatives", n, name, gowalla, {**softmax, "n_negatives": n})
        if device == "cpu":
            for n in range(1, usable_cores() + 1):
                for name, loss in ((ours, warp), (f"softmax, {update}", softmax)):
                    yield Point("threads", n, name, gowalla, {**loss, "n_threads": n})
    for size in [gowalla] if device == "cpu" else [gowalla, large]:
        kinds = [("", WARP), ("softmax, ", SOFTMAX)]
        if device == "cuda":
            kinds.append(("softmax in bfloat16, ", {**SOFTMAX, "precision": "bfloat16"}))
        for name, loss in kinds:
            what = f"{name}{size.n_items:,} items"
            for n in plan.batches:
                arguments = {**loss, "update": "sync", "batch_size": n}
                yield Point("batches", n, what, size, arguments)
            # Without batches, for comparison.
            yield Point("batches", 0, what, size, {**loss, "update": "async"})
    for n in plan.items:
        size = Size(USERS_OF_MANY_ITEMS, n, PAIRS_OF_MANY_ITEMS).times(scale)
        for update in UPDATES:
            arguments = {**WARP, "n_dims": DIMS_OF_MANY_ITEMS, "update": update}
            yield Point("items", size.n_items, f"paper's loss, {update}", size, arguments)


def check_memory(device: str, n_bytes: int) -> None:
    if device == "cpu":
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        free *= 1024
    else:
        import cupy

        free = cupy.cuda.runtime.memGetInfo()[0]
    if n_bytes > SHARE_OF_MEMORY * free:
        raise LeftOut(f"it takes {n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")


def measure(point: Point, plan: Plan, device: str) -> dict[str, Any]:
    if "precision" in point.arguments and (problem := _core.cuda_bfloat16_problem()):
        raise LeftOut(problem)
    rows = point.size.n_users + point.size.n_items
    # Vectors, their accumulators, and the first vectors, which are copied.
    check_memory(device, 3 * 4 * rows * padded(point.arguments["n_dims"]))
    likes = random_likes(point.size)
    return kernel_speed.measure(device, likes, plan.launches, plan.launch_pairs, **point.arguments)


def whole_fit(n_pairs: int, device: str) -> dict[str, Any]:
    """One epoch of as many pairs, from a matrix to a model: with more users, who like as much."""
    size = Size(n_pairs // PAIRS_PER_USER, ITEMS_OF_MANY_PAIRS, n_pairs)
    check_memory("cpu", BYTES_OF_A_PAIR * n_pairs)
    likes: sp.csr_array = random_likes(size)
    trainer = Trainer(
        loss="warp",
        n_dims=DIMS_OF_MANY_PAIRS,
        n_epochs=1,
        n_threads=1,
        device=device,
        verbose=False,
    )
    trainer.fit(likes[:FEW_USERS])  # loads code
    sample = {"pairs": likes.nnz, **timed(device, lambda: trainer.fit(likes))}
    return {"shape": likes.shape, **sample, "pairs_per_second": pairs_per_second(sample, device)}


def run(store: MeasurementStore, plan: Plan, device: str, scale: float) -> dict[str, Any]:
    found: dict[str, Any] = {"limits": store.once("limits", lambda: limits(device, scale))}
    measured = []
    for point in points(plan, device, scale):
        name = f"sweeps: {point.sweep}, {point.x:,}, {point.what}"
        values = store.once(name, lambda point=point: measure(point, plan, device))
        if values is not None:
            described = {"sweep": point.sweep, "x": point.x, "what": point.what}
            values = {key: of for key, of in values.items() if key != "samples"}
            measured.append({**described, "arguments": point.arguments, **values})
    for n in plan.pairs:
        n_pairs = max(1000, int(n * scale))
        values = store.once(f"sweeps: pairs, {n:,}", lambda n=n_pairs: whole_fit(n, device))
        if values is not None:
            measured.append({"sweep": "pairs", "x": n_pairs, "what": "a whole fit", **values})
    pairs = [point for point in measured if point["sweep"] == "pairs"]
    if len(pairs) > 1 and (line := growth(pairs, device)):
        found["growth"] = line
    return {**found, "points": measured}


def growth(points: list[dict[str, Any]], device: str) -> dict[str, float] | None:
    """Fit seconds = fixed + per_pair * pairs by the least relative errors; ``off``: the largest."""
    clock = "cpu_seconds" if device == "cpu" else "wall_seconds"
    pairs, seconds = (np.array([p[key] for p in points], dtype=float) for key in ("pairs", clock))
    if (seconds <= 0).any():
        return None  # too short to time
    per_pair, fixed = np.polyfit(pairs, seconds, 1, w=1 / seconds)
    off = (fixed + per_pair * pairs) / seconds - 1
    return {"fixed": float(fixed), "per_pair": float(per_pair), "off": float(np.abs(off).max())}


def show(found: dict[str, Any], device: str) -> None:
    second = "CPU-second" if device == "cpu" else "second"
    most = found["limits"]
    if most:
        print(
            f"\nlimits: copy {most['memory_bytes_per_second'] / 1e9:.1f} GB/s in memory, "
            f"{most['cache_bytes_per_second'] / 1e9:.1f} GB/s in a cache; "
            f"{most['flops'] / 1e9:.0f} Gflop/s"
        )
    for point in found["points"]:
        # Threads share the work: what they have in common is wall time.
        wall = point["sweep"] == "threads"
        speed = point["pairs_per_wall_second" if wall else "pairs_per_second"]
        line = f"{point['sweep']:10}{point['x']:>12,}  {point['what']:24}"
        line += f"{speed:14,.0f} pairs per {'second' if wall else second}"
        if "bytes_per_second" in point and not wall:
            line += (
                f", {point['bytes_per_second'] / 1e9:8.1f} GB/s"
                f", {point['flops_per_second'] / 1e9:8.1f} Gflop/s"
            )
        print(line)
    if "growth" in found:
        print(
            "a whole fit takes {fixed:.3g} s and {per_pair:.3g} s a pair, which is off by at most "
            "{off:.0%}".format(**found["growth"])
        )
