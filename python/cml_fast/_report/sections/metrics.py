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
            "kind, the mean would be in there."
        ),
        *_cold(facts),
    ]
    for metric in METRICS:
        title = f"{NAMES[metric]}@{k}"
        estimates = [
            charts.Estimate(name, found.means(metric)[k], found.intervals(metric)[k])
            for name, found in facts.evaluations.items()
        ]
        elements.append(
            figure(
                title[0].upper() + title[1:],
                f"Larger is better: {MEANING[metric].format(k=k)}. {INTERVAL}",
                charts.intervals(title, estimates),
                _figures(facts, metric),
            )
        )
    return elements


def _figures(facts: Facts, metric: str) -> Element:
    rows: list[list[Child]] = []
    for k in facts.ks:
        for name, found in facts.evaluations.items():
            mean, ends = found.means(metric)[k], found.intervals(metric)[k]
            label = f"{NAMES[metric]}@{k}"
            rows.append([label, name, decimal(mean), interval(ends)])
    return table(["", "recommender", "mean", "95% interval"], rows, texts=[1])


def _cold(facts: Facts) -> list[Element]:
    """Say how many users and items of the test set had no likes in training."""
    cold = facts.evaluations[MODEL].cold
    assert cold is not None  # the likes of training are known
    found = {"users": len(cold.users), "items": len(cold.items)}
    named = " and ".join(f"{count(n)} {what}" for what, n in found.items() if n)
    if not named:
        return []
    return [paragraph(f"{named} of the test set have no likes in training; they are included.")]
