"""The section on speed: pairs per second, time to a recall, limits and growth."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator

from ..throughput.contestants import FASTEST, N_DIMS, N_NEGATIVES
from ..throughput.speed_comparison import LIMITED, PYTORCH
from ..throughput.time_to_recall import OURS as OURS_TO_RECALL
from .figures import Figures, axes, line, logarithmic
from .markdown import better_in_bold, origin, table

Record = dict[str, Any]

# What was aimed at before anything was measured: times as fast, and shares of a peer's time.
RATIOS = {"WARP (LightFM)": 5, PYTORCH: 30}
SHARES = {
    "WARP (LightFM)": 0.1,
    "BPR (LightFM)": 0.1,
    "BPR (implicit)": 0.1,
    PYTORCH: 0.1,
    "WRMF (implicit)": 1.0,
}
WITHOUT_FMA = "x86-64-v2"
SUMMARISED_PEERS = ("WRMF (implicit)", "WARP (LightFM)")  # in the README
SUMMARISED_DATA = "gowalla"
SHOWN = ("softmax, for speed", "paper's loss")  # of our curves
# What bounds a kernel: the limit, the cost of a pair that it bounds, and how it is drawn.
LIMITS = {
    LIMITED: ("memory_bytes_per_second", "bytes", "k:", "copy in memory"),
    "softmax, async": ("flops", "flops", "k--", "matrix product"),
}
SWEEPS = {
    "dims": "dimensions r",
    "negatives": "negatives U",
    "threads": "threads",
    "items": "items (64 dimensions)",
}


def section(record: Record, figures: Figures) -> str:
    parts = [
        "## Speed: pairs per second, and what a user waits for",
        f"One thread and {N_DIMS} dimensions; {N_NEGATIVES} negatives for each pair, which 32 "
        'pairs have in common where it says "shared"; with the softmax 256 for 128 pairs. All are '
        "measured in turn for several rounds, and ratios are taken within a round: the table shows "
        "the median, and in brackets the smallest and the largest.",
        origin(record),
    ]
    for name, found in record.get("compare", {}).items():
        if "rates" in found:
            parts += _compared(name, found, _measured_earlier(record, "compare"))
    for name, found in record.get("recall", {}).items():
        parts += _recall(name, found, figures, _measured_earlier(record, "recall"))
    if "sweeps" in record:
        parts += _sweeps(record["sweeps"], figures, _measured_earlier(record, "sweeps"))
    left_out = [f"{what} ({reason})" for what, reason in record["left_out"].items()]
    if left_out:
        parts.append(f"Left out: {'; '.join(left_out)}.")
    return "\n\n".join(parts)


def _measured_earlier(record: Record, part: str) -> list[str]:
    """Where and when, if not with the rest."""
    earlier = record.get("earlier", {}).get(part)
    return [f"Measured earlier: {origin(earlier)}"] if earlier else []


def summary(record: Record) -> list[tuple[str, str, str]]:
    """For the README: time to a recall, and pairs per second, of ours and of some peers."""
    rows = []
    for name, found in record.get("recall", {}).items():
        for peer in SUMMARISED_PEERS:
            row = found["times"].get(peer)
            best = _quickest(row) if row else None
            if best is not None:
                times = [row["ours"][best]["seconds"], row["seconds"]]
                medians = [statistics.median(seconds) for seconds in times]
                cells = [f"{medians[0]:.2g} ({best})", f"{medians[1]:.2g} ({peer})"]
                what = f"CPU-seconds to 99% of the recall@{found['k']} of {peer}, {name}"
                rows.append((what, *better_in_bold(cells, medians, higher=False)))
    for name, found in record.get("compare", {}).items():
        rates = {way: rate["median"] for way, rate in found.get("rates", {}).items()}
        peers = [peer for peer in SHARES if peer in rates]
        if peers and name == SUMMARISED_DATA:
            both = [FASTEST, max(peers, key=lambda peer: rates[peer])]
            cells = [f"{_millions(rates[way])} ({way})" for way in both]
            what = f"million pairs trained per CPU-second, {name}"
            rows.append((what, *better_in_bold(cells, [rates[way] for way in both], higher=True)))
    return rows


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.3g}"


def _range(found: Record, form: str = ".3g") -> str:
    low, high = found["range"]
    return f"{found['median']:{form}} ({low:{form}} to {high:{form}})"


# --- pairs per second ---------------------------------------------------------------------------


def _compared(name: str, found: Record, measured_earlier: list[str]) -> Iterator[str]:
    users, items = found["shape"]
    yield f"### {name}: {users:,} users, {items:,} items, {found['pairs']:,} pairs"
    yield from measured_earlier
    rows = []
    for what, rate in found["rates"].items():
        ratio = found["ratios"][FASTEST].get(what)
        rows.append(
            [
                what,
                _millions(rate["median"]),
                _millions(found["wall_rates"][what]["median"]),
                _range(ratio) if ratio else "",
            ]
        )
    yield table(
        [
            "",
            "million pairs per CPU-second",
            "per second of wall time",
            f"{FASTEST}: times as fast",
        ],
        rows,
    )
    yield "\n".join(_aims(found))
    if f"{FASTEST}, {WITHOUT_FMA}" in found["rates"]:
        yield (
            f"{WITHOUT_FMA} has no fused multiply-adds. Shared negatives need them, to have the "
            "same bits everywhere; there they are computed from doubles, in several operations."
        )
    yield _torch(found)
    yield "\n".join(_limits(found))


def _aims(found: Record) -> Iterator[str]:
    for peer, aim in RATIOS.items():
        for one in (FASTEST, FASTEST.removesuffix(", async")):
            ratio = found["ratios"][one].get(peer)
            if ratio:
                judged = "reached" if ratio["median"] >= aim else "not reached"
                yield (
                    f"- {peer}: the aim of {aim} times as fast is {judged} by {one}: "
                    f"{_range(ratio)}."
                )


def _torch(found: Record) -> str:
    """Every variant of PyTorch that was tried."""
    samples = found["torch"].values()
    sizes = sorted({sample["batch_size"] for sample in samples})
    rows: dict[str, list[str]] = {}
    for sample in samples:
        cells = rows.setdefault(_way(sample), [""] * len(sizes))
        speed = _millions(sample["pairs_per_second"])
        cells[sizes.index(sample["batch_size"])] = speed
    head = ["million pairs per CPU-second", *(f"batches of {size:,}" for size in sizes)]
    listed = table(head, [[way, *cells] for way, cells in rows.items()])
    return (
        "Our implementation in PyTorch scores all negatives without autograd; only the hardest of "
        "a pair has a gradient. Each variant was measured once; the fastest is in the table "
        "above.\n\n"
        f"{listed}"
    )


def _way(sample: Record) -> str:
    return f"{sample['mode']}, {'sparse' if sample['sparse'] else 'dense'} AdaGrad"


def _limits(found: Record) -> Iterator[str]:
    cost = found["pair_cost"]
    yield (
        f"- A pair of {LIMITED} moves {cost['bytes'] / 1000:.1f} kB and takes "
        f"{cost['flops'] / 1000:.1f} kflop ({cost['active_share']:.0%} of the pairs are active)."
    )
    for what, share in found.get("reached", {}).items():
        limit = found["limits"][what]["median"] / 1e9
        unit = "Gflop/s" if what == "flops" else "GB/s"
        named = what.replace("_", " ")
        yield f"- It reaches {share['median']:.0%} of {named}, {limit:.0f} {unit} of one core."
    for what, ratio in found["two_threads"].items():
        yield f"- {what}: {_range(ratio, '.2f')} times the speed of one, by wall time."


# --- time to a recall ---------------------------------------------------------------------------


def _quickest(row: Record) -> str | None:
    reached = {what: found for what, found in row["ours"].items() if found["ratios"]}
    return min(reached, key=lambda what: statistics.median(reached[what]["seconds"]), default=None)


def _recall(
    name: str, found: Record, figures: Figures, measured_earlier: list[str]
) -> Iterator[str]:
    yield f"### {name}: CPU-seconds of training until a recall is reached"
    yield from measured_earlier
    others = [peer for peer in found["times"] if peer not in found["tuned"]]
    known = f"; {', '.join(others)}: settings known to be good" if others else ""
    yield (
        f"The time of a peer is that to 99% of its own best validation recall@{found['k']}; ours "
        f"is that to the same recall. Medians of {len(found['seeds'])} seeds; in brackets the "
        f"share of the peer's time. Peers have the settings that the accuracy benchmark chose"
        f"{known}. The "
        'time does not include choosing a temperature. "softmax, for speed" is the fastest of '
        "seven settings that were tried on this same validation part."
    )
    rows = []
    for peer, row in found["times"].items():
        cells = [peer, f"{statistics.fmean(row['best']):.4f}"]
        cells.append(f"{statistics.median(row['seconds']):.2f}")
        for what in OURS_TO_RECALL:
            mine = row["ours"].get(what)
            if mine is None or mine["ratios"] is None:
                cells.append("not reached")
            else:
                seconds, ratio = (statistics.median(mine[key]) for key in ("seconds", "ratios"))
                cells.append(f"{seconds:.2f} ({ratio:.2f})")
        rows.append(cells)
    yield table(["", "its best recall", "its CPU-seconds", *OURS_TO_RECALL], rows)
    yield "\n".join(_recall_aims(found))
    cut = found["cut_short"]
    if cut:
        yield (
            f"Recall was still rising when training was stopped: {'; '.join(cut)}. Their best "
            "recall, and the time to it, are not known."
        )
    yield _curves(name, found, figures)


def _recall_aims(found: Record) -> Iterator[str]:
    for peer, aim in SHARES.items():
        row = found["times"].get(peer)
        if row is None:
            continue
        best = _quickest(row)
        if best is None:
            yield f"- {peer}: none of ours reaches 99% of its recall."
            continue
        share = statistics.median(row["ours"][best]["ratios"])
        judged = "reached" if share <= aim else "not reached"
        yield (
            f"- {peer}: the aim of at most {aim:g} of its time is {judged}: {share:.2f} ({best})."
        )


def _curves(name: str, found: Record, figures: Figures) -> str:
    figure, (ax,) = axes(height=4.2)
    ours = [what for what in OURS_TO_RECALL if what in found["curves"]]
    peers = [what for what in found["curves"] if what not in OURS_TO_RECALL]
    for at, what in enumerate([*(o for o in ours if o in SHOWN), *peers]):
        curve = found["curves"][what]
        label = f"{what} (ours)" if what in OURS_TO_RECALL else what
        line(ax, at, curve["cpu_seconds"], curve["recall"], label)
    ax.set(
        xscale="log",
        xlabel=f"CPU-seconds of training, one thread (seed {found['seeds'][0]})",
        ylabel=f"validation recall@{found['k']}",
    )
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(fontsize=8, loc="lower right")
    return figures.save(
        figure, f"recall-{name}", f"{name}: validation recall against CPU-seconds of training"
    )


# --- limits and growth --------------------------------------------------------------------------


def _sweeps(found: Record, figures: Figures, measured_earlier: list[str]) -> Iterator[str]:
    yield "### Growth: dimensions, negatives, threads, items, pairs"
    yield from measured_earlier
    most = found["limits"]
    if most:
        yield (
            "The kernels alone, on random likes, with which nearly all pairs are active. Limits: a "
            f"copy in memory {most['memory_bytes_per_second'] / 1e9:.0f} GB/s, in a cache "
            f"{most['cache_bytes_per_second'] / 1e9:.0f} GB/s, a matrix product "
            f"{most['flops'] / 1e9:.0f} Gflop/s. The dotted line is what the bytes of a pair of "
            "the paper's loss allow at the speed of the copy in memory (caches serve some of them, "
            "so that speeds can exceed it); the dashed line is what the operations of a pair of "
            "the softmax allow at the speed of the matrix product."
        )
    points = [point for point in found["points"] if point["sweep"] in SWEEPS]
    for sweeps in (("dims", "negatives"), ("items", "threads")):
        yield _sweep_plot(sweeps, points, most, figures)
    yield table(
        ["", "", "million pairs per CPU-second", "GB/s", "Gflop/s"],
        [
            [
                f"{SWEEPS[point['sweep']]} {point['x']:,}",
                point["what"],
                _millions(point["pairs_per_second"]),
                f"{point['bytes_per_second'] / 1e9:.1f}",
                f"{point['flops_per_second'] / 1e9:.1f}",
            ]
            for point in points
            if point["sweep"] != "threads"
        ],
    )
    if "growth" in found:
        yield _growth(found, figures)


def _sweep_plot(
    sweeps: tuple[str, ...], points: list[Record], most: Record | None, figures: Figures
) -> str:
    figure, found = axes(len(sweeps))
    for ax, sweep in zip(found, sweeps, strict=True):
        mine = [point for point in points if point["sweep"] == sweep]
        speed = "pairs_per_wall_second" if sweep == "threads" else "pairs_per_second"
        for at, what in enumerate(dict.fromkeys(point["what"] for point in mine)):
            series = [point for point in mine if point["what"] == what]
            line(ax, at, [p["x"] for p in series], [p[speed] / 1e6 for p in series], what)
        for what, (limit, cost, style, label) in LIMITS.items():
            series = [point for point in mine if point["what"] == what]
            if most and series and sweep != "threads":
                allowed = [most[limit] / p["pair_cost"][cost] / 1e6 for p in series]
                if np.isfinite(allowed).all():
                    ax.plot([p["x"] for p in series], allowed, style, label=label)
        second = "second" if sweep == "threads" else "CPU-second"
        ax.set(xlabel=SWEEPS[sweep], ylabel=f"million pairs per {second}")
        if sweep == "threads":
            ax.set_xticks(sorted({point["x"] for point in mine}))
            ax.set_ylim(bottom=0)
        else:
            x = sorted({point["x"] for point in mine})
            logarithmic(ax, None if sweep == "negatives" else x)
        ax.legend(fontsize=8)
    named = " and ".join(SWEEPS[sweep] for sweep in sweeps)
    return figures.save(figure, f"sweep-{'-'.join(sweeps)}", f"Speed against {named}")


def _growth(found: Record, figures: Figures) -> str:
    points = [point for point in found["points"] if point["sweep"] == "pairs"]
    figure, (ax,) = axes(height=3.2)
    pairs = [point["pairs"] for point in points]
    line(ax, 0, pairs, [point["cpu_seconds"] for point in points], "a whole fit, one epoch")
    growth = found["growth"]
    fitted = [growth["fixed"] + growth["per_pair"] * n for n in pairs]
    ax.plot(pairs, fitted, "k:", label="a straight line")
    logarithmic(ax, pairs)
    ax.set(xlabel="pairs", ylabel="CPU-seconds")
    ax.legend(fontsize=8)
    picture = figures.save(figure, "sweep-pairs", "CPU-seconds of a whole fit against its pairs")
    return (
        f"A whole fit of one epoch takes {growth['fixed']:.2g} s and "
        f"{growth['per_pair'] * 1e6:.2g} s for each million pairs. This line differs from the "
        f"measured times by at most {growth['off']:.0%}, from {min(pairs):,} to {max(pairs):,} "
        f"pairs.\n\n{picture}"
    )
