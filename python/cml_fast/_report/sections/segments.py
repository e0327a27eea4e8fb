"""The metrics of groups of users and of items."""

from __future__ import annotations

from collections import Counter
from xml.etree.ElementTree import Element

import numpy as np

from ...metrics.result import Evaluation
from ...metrics.segments import item_segments
from .. import charts
from ..facts import METRICS, MODEL, Facts
from ..markup import figure, paragraph, table
from ..numbers import count, decimal, interval
from .metrics import INTERVAL, NAMES

# Users are cut into so many groups of about the same size; named groups beyond these are "others".
_N_GROUPS, _MOST_NAMED = 5, 10
_NOT_KNOWN, _OTHERS = "not known", "others"


def content(facts: Facts) -> list[Element]:
    if not facts.evaluations:
        return [paragraph("Not measured, because no test set was given.")]
    k = facts.ks[0]
    found = facts.evaluations[MODEL]
    by_activity = {
        name: found.subset(mask) for name, mask in by_likes(facts.user_counts[found.users]).items()
    }
    elements = [
        _chart(
            f"Recall@{k} by the user's likes in training",
            "Users in five groups of about the same size, those with the fewest likes first",
            by_activity,
            found.means("recall")[k],
            k,
        ),
        _items(facts, k),
    ]
    if any(group is not None for group in facts.user_groups):
        groups = by_group([facts.user_groups[user] for user in found.users.tolist()])
        elements.append(
            _chart(
                f"Recall@{k} by group of users",
                "The groups that were given, the largest first",
                {name: found.subset(mask) for name, mask in groups.items()},
                found.means("recall")[k],
                k,
            )
        )
    return elements


def by_likes(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return which users, (m,) bool, have so many likes in training, by the name of the group.

    Users without likes are a group of their own. Each user is in one group.
    """
    groups = {"no likes": counts == 0} if (counts == 0).any() else {}
    liked = counts[counts > 0]
    if not liked.size:
        return groups
    shares = np.arange(1, _N_GROUPS + 1) / _N_GROUPS
    highest = np.unique(np.quantile(liked, shares, method="inverted_cdf"))
    low = int(liked.min())
    for high in highest.astype(np.int64).tolist():
        name = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        groups[f"{name} like{'s' * (high != 1)}"] = (counts >= low) & (counts <= high)
        low = int(counts[counts > high].min(initial=np.iinfo(np.int64).max))
    return groups


def by_group(labels: list[str | None]) -> dict[str, np.ndarray]:
    """Return which users are in each group, the largest first, and the small ones together."""
    named = [_NOT_KNOWN if label is None else label for label in labels]
    sizes = sorted(Counter(named).items(), key=lambda group: (-group[1], group[0]))
    shown = [name for name, _ in sizes[:_MOST_NAMED]]
    array = np.array(named, dtype=object)
    groups = {name: array == name for name in shown}
    if len(sizes) > _MOST_NAMED:
        groups[_OTHERS] = ~np.isin(array, shown)
    return groups


def _items(facts: Facts, k: int) -> Element:
    """Return the recall of popular and rare items: only these count as held-out ones."""
    found = facts.evaluations[MODEL]
    names = [name for name in item_segments(facts.item_counts) if name in found.segments]
    return _chart(
        f"Recall@{k} by the popularity of the held-out items",
        "The popular items are the fewest that have half of all likes; of a user's held-out items "
        "only those of the group count",
        {name: found.segments[name] for name in names},
        found.means("recall")[k],
        k,
    )


def _chart(title: str, how: str, groups: dict[str, Evaluation], whole: float, k: int) -> Element:
    estimates = {
        name: charts.Estimate(
            f"{name} ({count(len(found.users))} users)",
            found.means("recall")[k],
            found.intervals("recall")[k],
        )
        for name, found in groups.items()
    }
    rows = [
        [
            name,
            count(len(found.users)),
            decimal(estimates[name].mean),
            interval(estimates[name].ends),
            *(decimal(found.means(metric)[k]) for metric in METRICS[1:]),
        ]
        for name, found in groups.items()
    ]
    others = [f"{NAMES[metric]}@{k}" for metric in METRICS[1:]]
    return figure(
        title,
        f"{how}; the dashed line is the mean of all users. {INTERVAL}",
        charts.intervals(title, list(estimates.values()), reference=whole),
        table(["group", "users", f"recall@{k}", "95% interval", *others], rows),
    )
