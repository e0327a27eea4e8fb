"""The section on top-K: time of a query against recall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..topk.indexes import ALL
from ..topk.measurement import EXACT, KS
from . import figures as plots
from .figures import Figures
from .markdown import better_in_bold, origin, table

PAPER = {10: 106, 50: 86}  # times as fast at a loss of 2%: Hsieh et al., WWW 2017, section 4.5
SHOWN_LOSS = 20  # percent
MODELS = ("CML", "MF")
FLAT = "faiss Flat"
NAMES = {EXACT: "`Model.recommend`"}
SUMMARISED_DATA = "gowalla"  # in the README

Record = dict[str, Any]


def section(record: Record, figures: Figures) -> str:
    results = record["results"]
    parts = [
        "## Top-K: time of a query against recall",
        _what(record),
        _claim(record),
        _automatic(record),
        *(_result(name, models, record, figures) for name, models in results.items()),
        origin(record),
    ]
    return "\n\n".join(parts)


def summary(record: Record) -> list[tuple[str, str, str]]:
    """For the README: the fastest query at the allowed loss, with vectors of CML and of MF."""
    rows = []
    for name, models in record["results"].items():
        best = [
            _fastest(models[model], KS[0]) if model in models else ("", None) for model in MODELS
        ]
        if name == SUMMARISED_DATA and all(point for _, point in best):
            values = [point["us_cpu"] for _, point in best if point]
            cells = [
                f"{value:.0f} ({model}, {library})"
                for value, model, (library, _) in zip(values, MODELS, best, strict=True)
            ]
            what = (
                f"µs of an approximate top-{KS[0]} query, with at most "
                f"{record['allowed_loss']:.0%} less recall than exact search, {name}"
            )
            rows.append((what, *better_in_bold(cells, values, higher=False)))
    return rows


def _what(record: Record) -> str:
    left_out = "".join(f" {name} was left out: {why}." for name, why in record["left_out"].items())
    return (
        "For each user with held-out items, one after another and on one thread: the K nearest "
        "items that the user has not had yet, by `Model.recommend(user, K, exclude=train)`. All "
        "that the call does is within the time. The speed-up compares the CPU time with that of "
        "the same call without an index, measured in turn; next to it, with that of faiss's flat "
        'index (`build_index("faiss", factory="Flat")`), the fastest exact search here for '
        "single queries. The loss is the share of exact search's recall of held-out items that is "
        "lost, ± its standard error over the users; it is negative if approximate search found "
        "more of them. A setting counts as losing at most "
        f"{record['allowed_loss']:.0%} if the loss plus its error is at most that, so that no "
        'setting is chosen by luck. "auto" is `build_index()`, which chooses the kind and '
        f"the setting itself so that {record['wish']:.0%} of the 10 items of exact search are "
        "found. MF is implicit's ALS, with inner products turned into distances as in Bachrach et "
        "al. (RecSys 2014). Indexes were built by "
        f"{record['build_threads']} threads (Annoy: one).{left_out}"
    )


# --- the claim ----------------------------------------------------------------------------------


def _claim(record: Record) -> str:
    allowed = record["allowed_loss"]
    claimed = " and ".join(f"{PAPER[k]} times at K = {k}" for k in KS)
    lines = [
        f"*The paper's claim.* Hsieh et al. (WWW 2017) report CML's search to be {claimed} as fast "
        f"as brute force at a loss of {allowed:.0%} of recall. Measured here:\n"
    ]
    for name, models in record["results"].items():
        for k in KS:
            found = _verdict(k, models["CML"], allowed) + _against_mf(k, models)
            lines.append(f"- {name}, K = {k}: {found}")
    return "\n".join(lines)


def _verdict(k: int, result: Record, allowed: float) -> str:
    library, point = _fastest(result, k)
    if point is None:
        return f"not reached: no setting of any library loses {allowed:.0%} or less."
    over = point["speedup_over"]
    faster = min(over, key=lambda name: over[name])
    share = over[faster] / PAPER[k]
    judged = "reached" if share >= 1 else f"not reached, {_number(share * 100)}% of {PAPER[k]}"
    return (
        f"{judged}. The best is {_number(over[faster])} times over the faster exact search, "
        f"{NAMES.get(faster, faster)} "
        f"({library}, loss {point['loss']:.1%} ± {point['loss_error']:.1%})."
    )


def _over(point: Record) -> str:
    others = [
        f"{_number(times)} times over {name}"
        for name, times in point["speedup_over"].items()
        if name != EXACT
    ]
    return f", or {' and '.join(others)}" if others else ""


def _automatic(record: Record) -> str:
    """What "auto" reaches; the wish is for lists of the first length."""
    wish, k = record["wish"], KS[0]
    lines = [f"*The index that is chosen automatically*, `build_index(recall={wish})`, K = {k}:\n"]
    for name, models in record["results"].items():
        for model, result in models.items():
            point = result[f"libraries@{k}"]["auto"]["automatic"]
            info = point["info"]
            lines.append(
                f"- {name}, {model}: {_number(point['speedup'])} times as fast as exact search"
                f"{_over(point)}; {point['overlap']:.1%} of its items found. The index reports a "
                f"recall of {info['recall']:.3f} ({_setting(point)}) and took "
                f"{point['build_seconds']:.1f} seconds to build, set and save."
            )
    return "\n".join(lines)


def _against_mf(k: int, models: Record) -> str:
    if "MF" not in models:
        return ""
    points = {model: _fastest(result, k)[1] for model, result in models.items()}
    ours, theirs = points["CML"], points["MF"]
    if ours is None or theirs is None:
        return f" With MF, {'some setting does' if theirs else 'none does'}."
    faster = "CML" if ours["us_cpu"] < theirs["us_cpu"] else "MF"
    over = min(theirs["speedup_over"].values())
    return (
        f" With MF the best is {_number(over)} times; the faster query is that of "
        f"{faster}: CML {ours['us_cpu']:.0f} µs, MF {theirs['us_cpu']:.0f} µs."
    )


def _fastest(result: Record, k: int) -> tuple[str, Record | None]:
    libraries = result[f"libraries@{k}"]
    points = {name: of["fastest"] for name, of in libraries.items() if of["fastest"]}
    best = max(points, key=lambda name: points[name]["speedup"], default="")
    return best, points.get(best)


# --- tables and plots ---------------------------------------------------------------------------


def _result(name: str, models: Record, record: Record, figures: Figures) -> str:
    shape = next(iter(models.values()))["exact"]["data"]
    asked = next(iter(models.values()))["exact"]["users_asked"]
    made = " (made up, with planted tastes)" if name == "synthetic" else ""
    parts = [
        f"### {name}{made}: {shape['users']:,} users x {shape['items']:,} items, "
        f"{shape['likes']:,} likes; {asked:,} users asked for",
        "Exact search:",
        table(
            ["", *(f"µs a query, K = {k}" for k in KS), *(f"recall@{k}" for k in KS)],
            [row for model, result in models.items() for row in _exact_rows(model, result)],
        ),
    ]
    for model, result in models.items():
        parts += [
            f"{model}, the fastest setting of each library that loses at most "
            f"{record['allowed_loss']:.0%} of recall@K:",
            table(
                [
                    *(
                        "",
                        "speed-up",
                        f"over {FLAT}",
                        "µs of CPU",
                        "µs, mean",
                        "µs, median",
                        "loss",
                    ),
                    *("of the exact items", "setting", "built in s", "MB"),
                ],
                list(_library_rows(result)),
            ),
        ]
    parts += [_plot(name, k, models, record, figures) for k in KS]
    return "\n\n".join(parts)


def _exact_rows(model: str, result: Record) -> Iterator[list[str]]:
    exact = result["exact"]
    recalls = [f"{exact[f'recall@{k}']:.4f}" for k in KS]
    for way in exact["bytes"]:
        times = [f"{exact[f'single@{k}'][way]['us_cpu']:.0f}" for k in KS]
        yield [f"{model}: {NAMES.get(way, way)}, one query, one thread (CPU)", *times, *recalls]
    batch = exact["batch"]
    yield [
        f"{model}: `Model.recommend`, all users in one batch, all cores "
        f"({batch['us_cpu']:.0f} µs of CPU)",
        *("" for _ in KS[1:]),
        f"{batch['us_mean']:.0f}",
        *recalls,
    ]


def _library_rows(result: Record) -> Iterator[list[str]]:
    for name in result[f"libraries@{KS[0]}"]:
        for k in KS:
            found = result[f"libraries@{k}"][name]
            point, least = found["fastest"], found["least_loss"]
            if point is None:
                yield [f"{name}, K = {k}", "none", *[""] * 4, f"{least:.1%} at least", *[""] * 4]
                continue
            yield [
                f"{name}, K = {k}",
                _number(point["speedup"]),
                _number(point["speedup_over"][FLAT]) if FLAT in point["speedup_over"] else "",
                *(f"{point[at]:.0f}" for at in ("us_cpu", "us_mean", "us_median")),
                f"{point['loss']:.1%} ± {point['loss_error']:.1%}",
                f"{point['overlap']:.1%}",
                _setting(point),
                f"{point['build_seconds']:.1f}",
                f"{point['bytes'] / 1e6:.0f}",
            ]


def _setting(point: Record) -> str:
    """The options of an index and of its search, chosen by the benchmark or by the index."""
    info = point["info"]
    chosen = {**info.get("search", {}), **point["search"]}
    if "factory" in info:
        options = {**point["build"], "factory": info["factory"], **chosen}
    else:
        options = {**(point["build"] or {"kind": info["kind"]}), **chosen}
    return ", ".join(f"{at} {value}" for at, value in options.items())


def _plot(name: str, k: int, models: Record, record: Record, figures: Figures) -> str:
    figure, axes = plots.axes(len(models))
    top = PAPER[k]
    for ax, (model, result) in zip(axes, models.items(), strict=True):
        for at, library in enumerate([n for n, library in ALL.items() if not library.exact], 1):
            found = result[f"libraries@{k}"].get(library)
            if found:
                losses = [100 * loss for loss, _ in found["frontier"]]
                speedups = [speedup for _, speedup in found["frontier"]]
                plots.line(ax, at, losses, speedups, library)
                shown = (s for loss, s in zip(losses, speedups, strict=True) if loss <= SHOWN_LOSS)
                top = max(top, *shown, 0)
        ax.axvline(100 * record["allowed_loss"], color="0.5", linestyle=":", linewidth=1)
        ax.axhline(1, color="0.5", linewidth=1)
        ax.set(title=f"{name}, {model}", xlabel=f"recall@{k} lost, %", yscale="log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.sharex(axes[0])
        ax.sharey(axes[0])
    axes[0].set(
        ylabel="times as fast as without an index", xlim=(None, SHOWN_LOSS), ylim=(None, 1.5 * top)
    )
    axes[0].axhline(PAPER[k], color="0.5", linestyle="--", linewidth=1)
    axes[0].annotate(
        f"the paper: {PAPER[k]} at 2%", (SHOWN_LOSS, PAPER[k]), va="bottom", ha="right"
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figures.save(
        figure,
        f"topk-{name}-{k}",
        f"{name}: speed-up over exact search against loss of recall@{k}",
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
