"""Whether popular items are recommended more than they are liked."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from ...metrics import beyond_accuracy
from .. import charts
from ..facts import MODEL, Facts
from ..markup import figure, table, tag
from ..numbers import count, decimal, percent

_N_PARTS = 10


@dataclass(frozen=True)
class Recommended:
    """What a recommender recommends to all users of the report.

    Attributes
    ----------
    counts : numpy.ndarray, (n_items,), int64
        To how many users each item is recommended.
    popularity : float
        The mean over users of the mean number of likes of their items.
    """

    counts: np.ndarray
    popularity: float


def content(facts: Facts) -> list[Element]:
    k = facts.ks[0]
    recommended = {name: count_recommended(facts, name, k) for name in facts.recommenders}
    likes = facts.item_counts
    parts = popularity_parts(likes)
    shares = {"likes in training": _shares(likes, parts)} | {
        name: _shares(found.counts, parts) for name, found in recommended.items()
    }
    labels = [f"{part + 1}" for part in range(_N_PARTS)]
    names = [f"{10 * part} to {10 * part + 10}% most popular" for part in range(_N_PARTS)]
    rows = [
        [names[part], *(percent(values[part]) for values in shares.values())]
        for part in range(_N_PARTS)
    ]
    shown = {"likes in training": shares["likes in training"], "recommendations": shares[MODEL]}
    title = "Who gets the recommendations: items by popularity"
    return [
        figure(
            title,
            "The items in ten groups of the same size, the most popular first: where the second "
            "bar is the higher one, these items are recommended more than they are liked.",
            charts.bars(title, labels, shown, names, percent, "tenths of the items"),
            table(["items", *shares], rows),
        ),
        _summary(facts, recommended, k),
    ]


def count_recommended(facts: Facts, name: str, k: int) -> Recommended:
    """Count the first k items of a recommender, over the users of the report."""
    counts = np.zeros(len(facts.item_counts), dtype=np.int64)
    popularity = []
    for items in facts.rankings(name, k):
        counts += np.bincount(items[items >= 0], minlength=len(counts))
        popularity.append(beyond_accuracy.popularity(items, facts.item_counts))
    means = np.concatenate(popularity)
    known = means[~np.isnan(means)]
    return Recommended(counts, float(known.mean()) if known.size else float("nan"))


def popularity_parts(item_counts: np.ndarray) -> np.ndarray:
    """Return the tenth, from 0 for the most popular, that each item is in: (n_items,), int64."""
    order = np.argsort(-item_counts, kind="stable")
    parts = np.empty(len(order), dtype=np.int64)
    parts[order] = np.arange(len(order)) * _N_PARTS // len(order)
    return parts


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient: 0 if all items have the same count, near 1 if one has all."""
    n, total = len(counts), counts.sum()
    if total == 0:
        return float("nan")
    ranks = np.arange(1, n + 1)
    return float(2 * (ranks * np.sort(counts)).sum() / (n * total) - (n + 1) / n)


def _shares(counts: np.ndarray, parts: np.ndarray) -> list[float]:
    shares: list[float] = (
        np.bincount(parts, weights=counts, minlength=_N_PARTS) / max(counts.sum(), 1)
    ).tolist()
    return shares


def _summary(facts: Facts, recommended: dict[str, Recommended], k: int) -> Element:
    likes = facts.item_counts
    of_likes = float((likes.astype(np.float64) ** 2).sum() / likes.sum())
    rows = [
        ["likes in training", percent((likes > 0).mean()), decimal(gini(likes)), count(of_likes)]
    ]
    for name, found in recommended.items():
        coverage = beyond_accuracy.coverage(found.counts > 0)
        rows.append([name, percent(coverage), decimal(gini(found.counts)), count(found.popularity)])
    headers = ["", "items that occur", "Gini coefficient", "likes of an item, mean"]
    caption = (
        f"The first {k} recommendations of each user: the share of all items that are recommended "
        "to anybody (coverage), how unequally (0: all items the same; 1: one item has all), and "
        "how many likes in training the recommended items have on average."
    )
    return tag(
        "figure",
        tag("figcaption", tag("strong", "Coverage and concentration"), tag("span", caption)),
        table(headers, rows),
    )
