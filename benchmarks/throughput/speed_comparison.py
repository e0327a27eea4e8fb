"""Trained pairs per second of ours and of all others, measured in turn: A B C A B C ...

Ratios are taken within a round, so that a machine that is busy for a while slows all of them alike.
Before the rounds, each variant of PyTorch is timed once, and the fastest takes part in the rounds.
"""

from __future__ import annotations

import statistics
from functools import cache
from importlib.util import find_spec
from typing import Any

import scipy.sparse as sp

from ..common.clock import pairs_per_second, rate, ratio
from ..common.machine_speed import bandwidths, padded
from ..common.measurement_store import LeftOut, MeasurementStore
from .contestants import (
    N_DIMS,
    N_NEGATIVES,
    OURS,
    Contestant,
    Torch,
    all_of_ours,
    other_libraries,
    torch_variants,
    why_not,
)
from .limits import flops, pair_cost
from .plan import Plan

LIMITED = "paper's loss, async"  # that is compared with the machine's limits
TWO_THREADS = ", 2 threads"
PYTORCH = "CML (PyTorch)"
TENSORFLOW = "the paper's code (TensorFlow)"
TORCH_KEYS = ("mode", "sparse", "batch_size", "pairs_per_second")  # that a result file has


def try_torch(likes: sp.csr_array, device: str, n_pairs: int, variant: dict[str, Any]) -> Any:
    try:
        return Torch(likes, device, n_pairs, **variant)()
    except LeftOut:
        raise
    except Exception as error:  # of PyTorch, a compiler or a driver
        message = str(error).strip() or "no message"
        raise LeftOut(f"{type(error).__name__}: {message.splitlines()[0][:300]}") from error


def sweep_torch(
    store: MeasurementStore,
    name: str,
    likes: sp.csr_array,
    device: str,
    n_pairs: int,
    batches: tuple[int, ...],
) -> dict[str, Any]:
    """A sample of each variant."""
    if find_spec("torch") is None:
        store.leave_out(PYTORCH, "torch is not installed: pip install cml-fast[bench]")
        return {}
    samples = {}
    for what, variant in torch_variants(device, batches).items():
        found = store.once(
            f"{name}: PyTorch, {what}",
            lambda variant=variant: try_torch(likes, device, n_pairs, variant),
        )
        if found is not None:
            samples[what] = {
                **found,
                **variant,
                "pairs_per_second": pairs_per_second(found, device),
            }
    return samples


def contestants_of(
    store: MeasurementStore, likes: sp.csr_array, plan: Plan, device: str, best_torch: str | None
) -> dict[str, Contestant]:
    """All that are timed in each round, by name."""
    runs = all_of_ours(likes, device, plan.epochs)
    for what, contestant in other_libraries(likes, plan.epochs).items():
        if reason := why_not(what, device):
            store.leave_out(what, reason)
        else:
            runs[what] = contestant
    store.leave_out(TENSORFLOW, "published as a script for TensorFlow 1, not as a package")
    if best_torch is not None:
        variant = torch_variants(device, plan.torch_batches)[best_torch]
        # Made when it is timed first: compiling is not needed if all rounds were measured before.
        make = cache(lambda: Torch(likes, device, plan.torch_pairs, **variant))
        runs[PYTORCH] = lambda: make()()
    if device == "cpu":
        runs["limits"] = lambda: {
            **bandwidths(likes.shape[1], padded(N_DIMS)),
            "flops": flops(device),
        }
    return runs


def run(
    store: MeasurementStore, name: str, likes: sp.csr_array, plan: Plan, device: str
) -> dict[str, Any]:
    """A summary of all rounds; the samples of each round are kept in the store alone."""
    variants = sweep_torch(store, name, likes, device, plan.torch_pairs, plan.torch_batches)
    best = max(variants, key=lambda v: variants[v]["pairs_per_second"], default=None)
    runs = contestants_of(store, likes, plan, device, best)
    rounds = []
    for number in range(plan.rounds):
        found = store.once(
            f"{name}: round {number + 1}", lambda: {what: run() for what, run in runs.items()}
        )
        if found is not None:
            rounds.append(found)
    return {
        "shape": likes.shape,
        "pairs": likes.nnz,
        "epochs": plan.epochs,
        "rounds": len(rounds),
        "torch_pairs": plan.torch_pairs,
        "torch": {
            what: {key: sample[key] for key in TORCH_KEYS} for what, sample in variants.items()
        },
        "best_torch": best,
        **(summary(rounds, device) if rounds else {}),
    }


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "range": [min(values), max(values)]}


def ratios(ones: list[float], others: list[float]) -> dict[str, Any]:
    """The ratio of two rates in each round."""
    return spread([ratio(one, other) for one, other in zip(ones, others, strict=True)])


def summary(rounds: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Rates, ratios of each of ours to all others, and what ours reach of the limits."""
    # Contestants that were not there in every round have no ratio.
    names = [what for what in rounds[0] if what != "limits" and all(what in r for r in rounds)]
    rates = {what: [pairs_per_second(r[what], device) for r in rounds] for what in names}
    wall_rates = {
        what: [rate(r[what]["pairs"], r[what]["wall_seconds"]) for r in rounds] for what in names
    }
    threads = [what for what in names if what.endswith(TWO_THREADS)]
    found: dict[str, Any] = {
        "rates": {what: spread(values) for what, values in rates.items()},
        "wall_rates": {what: spread(values) for what, values in wall_rates.items()},
        "ratios": {
            one: {
                other: ratios(rates[one], rates[other])
                for other in names
                if other != one and other not in threads
            }
            for one in OURS
        },
        "two_threads": {  # wall time; with the same work on one
            what: ratios(wall_rates[what], wall_rates[what.removesuffix(TWO_THREADS)])
            for what in threads
        },
    }
    cost = pair_cost(rounds[0][LIMITED]["active_share"], N_DIMS, N_NEGATIVES)
    found["pair_cost"] = cost
    if all("limits" in r for r in rounds):
        of_each = {what: [r["limits"][what] for r in rounds] for what in rounds[0]["limits"]}
        found["limits"] = {what: spread(limits) for what, limits in of_each.items()}
        found["reached"] = {
            what: reached(rates[LIMITED], cost["flops" if what == "flops" else "bytes"], limits)
            for what, limits in of_each.items()
        }
    return found


def reached(rates: list[float], cost: float, limits: list[float]) -> dict[str, Any]:
    """The share of a limit that pairs of this cost reach in each round."""
    return spread([ratio(rate * cost, limit) for rate, limit in zip(rates, limits, strict=True)])


def show(name: str, found: dict[str, Any], device: str) -> None:
    second = "CPU-second" if device == "cpu" else "second"
    users, items = found["shape"]
    print(f"\n{name}: {users:,} users, {items:,} items, {found['pairs']:,} pairs")
    for what, sample in found["torch"].items():
        print(f"  PyTorch, {what:24}{sample['pairs_per_second']:14,.0f} pairs per {second}")
    if "rates" not in found:
        return
    heads = "".join(f"{what + ' /':>22}" for what in OURS)
    print(f"{'':36}{'pairs per ' + second:>22}{heads}")
    for what, rates in found["rates"].items():
        cells = ""
        for one in OURS:
            times = found["ratios"][one].get(what)
            cells += f"{times['median']:22.2f}" if times else f"{'':22}"
        print(f"{what:36}{rates['median']:22,.0f}{cells}")
    for what, times in found["two_threads"].items():
        print(f"{what}: {times['median']:.2f} times one, wall time")
    for what, share in found.get("reached", {}).items():
        print(f"{LIMITED}, reaches {share['median']:.0%} of {what}")
