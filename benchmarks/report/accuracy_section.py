"""The section on accuracy: one table and one plot for each data set."""

from __future__ import annotations

import statistics
from typing import Any

from ..accuracy.published import PUBLISHED
from ..accuracy.summary import METRICS
from ..recommenders import ALL
from .figures import COLOURS, Figures, axes
from .markdown import better_in_bold, origin, table

TITLES = {
    "citeulike-t-as-published": "citeulike-t as the paper read it",
    "ml-latest-small": "MovieLens, ml-latest-small",
}
ABOUT = {
    "citeulike-t": "60/20/20 per user; 134,860 likes, read as the description of the data says.",
    "citeulike-t-as-published": (
        "60/20/20 per user. The count at the start of each line of the file is taken for an item, "
        'which gives the 142,794 "ratings" of the paper\'s Table 1. Only for comparison with the '
        "figures of the paper: these are not the likes of CiteULike."
    ),
    "gowalla": "LightGCN's split. Settings and epochs are chosen on a held-out share of its train "
    "part; the tested models are trained on all of it. The split is fixed: seeds only change the "
    "training. EASE and the most popular, which use no random numbers, are tested once.",
    "ml-latest-small": "60/20/20 per user; a rating of 4 or more is a like.",
}
SIGNIFICANT = 0.05
SUMMARISED = (  # data set, with features
    ("citeulike-t", False),
    ("gowalla", False),
    ("ml-latest-small", False),
    ("citeulike-t", True),
)

Row = dict[str, Any]


def section(record: dict[str, Any], figures: Figures) -> str:
    parts = [
        "## Accuracy: the paper's Table 2",
        f"The settings of each row are the best of {record['trials']} trials on the validation "
        "part: the first trial uses settings known to be good, the others are proposed by Optuna "
        '("CML, defaults" and "most popular" have nothing to choose). The '
        "table shows the mean and the standard deviation over "
        f"{len(record['seeds'])} seeds, for all users with test items. "
        "Bold marks the best of a column, separately for the rows without and with features (+F). "
        "Below each table our rows are compared with the best peer (rows without features with the "
        "best one without features); p is that of a Wilcoxon signed-rank test of the recall of "
        "each user. Minutes of wall time are rough: other work ran on the other cores.",
        origin(record),
    ]
    parts += [_data_set(name, result, figures) for name, result in record["results"].items()]
    return "\n\n".join(parts)


def summary(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """For the README: recall of our best row and of the best peer on each data set."""
    found = []
    for name, with_features in SUMMARISED:
        result = record["results"].get(name)
        if result is None:
            continue
        metric = f"recall@{result['k']}"
        rows = {
            w: row for w, row in result["rows"].items() if ALL[w].with_features == with_features
        }
        ours, peers = ([w for w in rows if ALL[w].ours == ours] for ours in (True, False))
        if ours and peers:
            best = [max(group, key=lambda w: _mean(rows[w], metric)) for group in (ours, peers)]
            values = [_mean(rows[what], metric) for what in best]
            cells = [f"{value:.3f} ({what})" for what, value in zip(best, values, strict=True)]
            what = f"{metric}, {name}{', with features' if with_features else ''}"
            test = result["compared"].get(best[0], {"against": None})
            if test["against"] == best[1] and test["p"] >= SIGNIFICANT:
                found.append((f"{what} (no significant difference)", *cells))
            else:
                found.append((what, *better_in_bold(cells, values, higher=True)))
    return found


def _data_set(name: str, result: dict[str, Any], figures: Figures) -> str:
    rows, compared = result["rows"], result["compared"]
    metric = f"recall@{result['k']}"
    rows = dict(sorted(rows.items(), key=lambda row: _mean(row[1], metric)))
    users = next(iter(rows.values()))["users"]
    parts = [
        f"### {TITLES.get(name, name)}",
        f"{ABOUT.get(name, '60/20/20 per user.')} {users:,} users with test items.",
        _table(name, rows),
        _plot(name, rows, metric, figures),
        _verdict(compared, metric),
    ]
    if kept := result.get("kept"):
        parts.append(f"Measured earlier, on {kept['from']}: {', '.join(kept['rows'])}.")
    limited = [
        f"{what} ({row['most_epochs']})"
        for what, row in rows.items()
        if 1 < row["most_epochs"] <= max(row["epochs"])
    ]
    if limited:
        parts.append(
            f"The recall of {', '.join(limited)} was still rising at the epoch limit (in "
            "brackets): more epochs might have given more."
        )
    reasons: dict[str, list[str]] = {}
    for row, reason in result["left_out"].items():
        reasons.setdefault(reason, []).append(row)
    if reasons:
        left_out = [f"{', '.join(absent)} ({reason})" for reason, absent in reasons.items()]
        parts.append(f"Left out: {'; '.join(left_out)}.")
    return "\n\n".join(parts)


def _mean(row: Row, metric: str) -> float:
    return statistics.fmean(row[metric])


def _spread(row: Row, metric: str) -> float:
    return statistics.stdev(row[metric]) if len(row[metric]) > 1 else 0.0


def _table(name: str, rows: dict[str, Row]) -> str:
    best = {
        (group, metric): max(
            _mean(row, metric) for what, row in rows.items() if ALL[what].with_features == group
        )
        for group in {ALL[what].with_features for what in rows}
        for metric in METRICS
    }
    lines = []
    for what, row in reversed(rows.items()):
        cells = [f"{what} (+F)" if ALL[what].with_features else what]
        for metric in METRICS:
            cell = f"{_mean(row, metric):.4f}"
            if len(row["seeds"]) > 1:
                cell += f" ± {_spread(row, metric):.4f}"
            is_best = _mean(row, metric) == best[ALL[what].with_features, metric]
            cells.append(f"**{cell}**" if is_best else cell)
        lines.append([*cells, f"{row['seconds'] / 60:.0f}"])
    for published in PUBLISHED.get(name, ()):
        lines.append([f"*{published.source}; {published.protocol}*", *[""] * (len(METRICS) + 1)])
        for what, values in published.rows.items():
            known = dict(zip(published.metrics, values, strict=True))
            cells = [f"{known[metric]:.4f}" if metric in known else "" for metric in METRICS]
            lines.append([f"published: {what}", *cells, ""])
    return table(["", *METRICS, "minutes of all trials and tests"], lines)


def _plot(name: str, rows: dict[str, Row], recall: str, figures: Figures) -> str:
    figure, (left, right) = axes(2, height=0.5 + 0.27 * len(rows))
    for ax, metric in ((left, recall), (right, "ndcg@20")):
        for at, (what, row) in enumerate(rows.items()):
            ax.errorbar(
                _mean(row, metric),
                at,
                xerr=_spread(row, metric),
                fmt="D" if ALL[what].with_features else "o",
                color=COLOURS[0 if ALL[what].ours else 1],
                markersize=5,
            )
        ax.set_xlabel(f"{metric} of the test part (higher is better)")
        ax.set_yticks(range(len(rows)), list(rows) if ax is left else [""] * len(rows))
        ax.set_xlim(0, 1.08 * max(_mean(row, metric) for row in rows.values()))
    return figures.save(
        figure,
        f"accuracy-{name}",
        f"{recall} and NDCG@20 of all rows on {name}: ours orange, peers blue, with features as "
        "diamonds",
    )


def _verdict(compared: dict[str, Any], metric: str) -> str:
    lines = []
    for what, found in compared.items():
        verb = "is ahead of" if found["difference"] > 0 else "is behind"
        lines.append(
            f"- {what} {verb} the best peer, {found['against']}, by "
            f"{abs(found['difference']):.4f} in {metric} (p = {found['p']:.1g}; better for "
            f"{found['better']:,} of {found['users']:,} users, worse for {found['worse']:,})."
        )
    return "\n".join(lines)
