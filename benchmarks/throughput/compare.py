"""Trained pairs per second of ours and of all others, in turn: A B C A B C ...

A ratio is taken within a round, so that a machine that is busy for a while slows all alike. Before,
each variant of PyTorch is timed once, and the fastest one takes part in the rounds.
"""

from __future__ import annotations

import statistics
from importlib.util import find_spec
from typing import Any

import scipy.sparse as sp

from .. import memory
from .clock import rate
from .contestants import (
    N_DIMS,
    N_NEGATIVES,
    OURS,
    Torch,
    all_of_ours,
    other_libraries,
    torch_variants,
    why_not,
)
from .limits import flops, pair_cost
from .plan import Plan
from .work import LeftOut, Work

PYTORCH = "CML (PyTorch)"
TENSORFLOW = "the paper's code (TensorFlow)"


def try_torch(likes: sp.csr_array, device: str, n_pairs: int, variant: dict[str, Any]) -> Any:
    try:
        return Torch(likes, device, n_pairs, **variant)()
    except LeftOut:
        raise
    except Exception as error:  # whatever PyTorch, a compiler or a driver say
        message = str(error).strip() or "no message"
        raise LeftOut(f"{type(error).__name__}: {message.splitlines()[0][:300]}") from error


def sweep_torch(
    work: Work,
    name: str,
    likes: sp.csr_array,
    device: str,
    n_pairs: int,
    batches: tuple[int, ...],
) -> dict[str, Any]:
    """A sample of each variant."""
    if find_spec("torch") is None:
        work.leave_out(PYTORCH, "torch is not installed: pip install cml-fast[bench]")
        return {}
    samples = {}
    for what, variant in torch_variants(device, batches).items():
        found = work.once(
            f"{name}: PyTorch, {what}",
            lambda variant=variant: try_torch(likes, device, n_pairs, variant),
        )
        if found is not None:
            samples[what] = {**found, **variant, "pairs_per_second": rate(found, device)}
    return samples


def run(work: Work, name: str, likes: sp.csr_array, plan: Plan, device: str) -> dict[str, Any]:
    variants = sweep_torch(work, name, likes, device, plan.torch_pairs, plan.torch_batches)
    runs: dict[str, Any] = all_of_ours(likes, device, plan.epochs)
    for what, contestant in other_libraries(likes, plan.epochs).items():
        if reason := why_not(what, device):
            work.leave_out(what, reason)
        else:
            runs[what] = contestant
    work.leave_out(TENSORFLOW, "published as a script for TensorFlow 1, not as a package")
    best = max(variants, key=lambda v: variants[v]["pairs_per_second"], default=None)
    if best is not None:
        chosen = torch_variants(device, plan.torch_batches)[best]
        made: list[Torch] = []  # in the first round that is measured now

        def pytorch() -> Any:
            if not made:
                made.append(Torch(likes, device, plan.torch_pairs, **chosen))
            return made[0]()

        runs[PYTORCH] = pytorch
    if device == "cpu":
        runs["limits"] = lambda: {
            **memory.bandwidths(likes.shape[1], memory.padded(N_DIMS)),
            "flops": flops(device),
        }
    rounds = []
    for number in range(plan.rounds):
        found = work.once(
            f"{name}: round {number + 1}", lambda: {what: run() for what, run in runs.items()}
        )
        if found is not None:
            rounds.append(found)
    result: dict[str, Any] = {
        "shape": likes.shape,
        "pairs": likes.nnz,
        "epochs": plan.epochs,
        "torch_pairs": plan.torch_pairs,
        "torch": variants,
        "best_torch": best,
    }
    return {**result, **(summary(rounds, device) if rounds else {}), "rounds": rounds}


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "range": [min(values), max(values)]}


def summary(rounds: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Rates, ratios of each of ours to all others, and what ours reach of the limits."""
    # Contestants that came or went between two runs have no ratio in every round.
    names = [what for what in rounds[0] if what != "limits" and all(what in r for r in rounds)]
    rates = {what: [rate(r[what], device) for r in rounds] for what in names}
    per_wall = {
        what: [r[what]["pairs"] / r[what]["wall_seconds"] for r in rounds] for what in names
    }
    threads = [what for what in names if what.endswith("threads")]
    found: dict[str, Any] = {
        "rates": {what: spread(values) for what, values in rates.items()},
        "wall_rates": {what: spread(values) for what, values in per_wall.items()},
        "ratios": {
            one: {
                other: spread([a / b for a, b in zip(rates[one], rates[other], strict=True)])
                for other in names
                if other != one and other not in threads
            }
            for one in OURS
        },
        "two_threads": {  # wall time; with the same work on one
            what: spread(
                [
                    a / b
                    for a, b in zip(
                        per_wall[what], per_wall[what[: -len(", 2 threads")]], strict=True
                    )
                ]
            )
            for what in threads
        },
    }
    one = "paper's loss, async"
    cost = pair_cost(rounds[0][one]["active_share"], N_DIMS, N_NEGATIVES)
    found["pair_cost"] = cost
    if all("limits" in r for r in rounds):
        found["limits"] = {
            what: spread([r["limits"][what] for r in rounds]) for what in rounds[0]["limits"]
        }
        found["reached"] = {
            what: spread(
                [
                    a * cost["flops" if what == "flops" else "bytes"] / r["limits"][what]
                    for a, r in zip(rates[one], rounds, strict=True)
                ]
            )
            for what in rounds[0]["limits"]
        }
    return found


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
            ratio = found["ratios"][one].get(what)
            cells += f"{ratio['median']:22.2f}" if ratio else f"{'':22}"
        print(f"{what:36}{rates['median']:22,.0f}{cells}")
    for what, ratio in found["two_threads"].items():
        print(f"{what}: {ratio['median']:.2f} times one, wall time")
    for what, reached in found.get("reached", {}).items():
        print(f"paper's loss, async, reaches {reached['median']:.0%} of {what}")
