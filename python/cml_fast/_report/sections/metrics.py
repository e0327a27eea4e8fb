"""How well the model ranks the held-out items, beside the baselines."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from .. import charts
from ..facts import METRICS, MODEL, Facts
from ..markup import Child, figure, paragraph, table
from ..numbers import count, decimal, interval

NAMES = {"recall": "recall", "ndcg": "NDCG", "hit_rate": "hit rate"}
MEANING = {
    "recall": "the share of a user's held-out items that are among the first {k}",
    "ndcg": "as recall, but a hit counts more the nearer it is to the top; the best ranking has 1",
    "hit_rate": "the share of users with at least one held-out item among the first {k}",
}
INTERVAL = "The line beside a dot is the 95% interval of the mean."


def content(facts: Facts) -> list[Element]:
    if not facts.evaluations:
        return [paragraph("Not measured, because no test set was given.")]
    k = facts.ks[0]
    n_users, n_held_out = len(facts.users), facts.data.relevant.nnz
    elements = [
        paragraph(
            f"All items that a user has not liked before are ranked, for each of {count(n_users)} "
            f"users, and the first ones are compared with {count(n_held_out)} likes that the model "
            "has not seen. Intervals are of the bootstrap over users: with other users of the same "
            "kind, the mean would most likely be in there."
        ),
        *_cold(facts),
    ]
    return [*elements, *(_metric(facts, metric, k) for metric in METRICS)]


def _metric(facts: Facts, metric: str, k: int) -> Element:
    """Return a chart of one metric at the smallest k, with a table of all k."""
    means = {name: found.means(metric) for name, found in facts.evaluations.items()}
    ends = {name: found.intervals(metric) for name, found in facts.evaluations.items()}
    title = f"{NAMES[metric]}@{k}"
    rows: list[list[Child]] = [
        [f"{NAMES[metric]}@{at}", name, decimal(means[name][at]), interval(ends[name][at])]
        for at in facts.ks
        for name in means
    ]
    return figure(
        title[0].upper() + title[1:],
        f"Larger is better: {MEANING[metric].format(k=k)}. {INTERVAL}",
        charts.intervals(
            title, [charts.Estimate(name, means[name][k], ends[name][k]) for name in means]
        ),
        table(["", "recommender", "mean", "95% interval"], rows, texts=[1]),
    )


def _cold(facts: Facts) -> list[Element]:
    """Say how many users and items of the test set had no likes in training."""
    cold = facts.evaluations[MODEL].cold
    assert cold is not None  # the likes of training are known
    found = {"users": len(cold.users), "items": len(cold.items)}
    named = " and ".join(f"{count(n)} {what}" for what, n in found.items() if n)
    if not named:
        return []
    return [paragraph(f"{named} of the test set have no likes in training; they are included.")]
