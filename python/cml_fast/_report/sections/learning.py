"""How training went, and what the model was made with."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from .. import charts
from ..facts import Facts
from ..markup import figure, paragraph, table, tag
from ..numbers import NONE, decimal, percent

_COLUMNS = {
    "loss": ("loss", decimal),
    "recall": ("recall@50 on validation data", decimal),
    "active_share": ("likes that changed the model", percent),
    "impostor_share": ("negatives inside the margin", percent),
}


def content(facts: Facts) -> list[Element]:
    history = [epoch for epoch in facts.model.history if "epoch" in epoch and "loss" in epoch]
    settings = {
        name: NONE if value is None else str(value)
        for name, value in facts.model.hyperparameters.items()
    }
    made = tag(
        "details",
        tag("summary", "Hyper-parameters"),
        table(["name", "value"], [[*pair] for pair in settings.items()]),
    )
    if not history:
        return [
            paragraph(
                "The model has no record of its epochs: it was not made by a trainer, or by a "
                "release that did not keep one."
            ),
            made,
        ]
    epochs = [epoch["epoch"] for epoch in history]
    kept = _kept(history)
    columns = {key: column for key, column in _COLUMNS.items() if key in history[0]}
    rows = [
        [str(epoch["epoch"]), *(write(epoch.get(key)) for key, (_, write) in columns.items())]
        for epoch in history
    ]
    figures = table(["epoch", *(name for name, _ in columns.values())], rows)
    elements = [
        figure(
            "Training loss",
            "The loss of each epoch should fall, steeply at first, and then level off.",
            charts.lines("Training loss", epochs, _values(history, "loss"), _axis, "epoch", kept),
            figures,
        )
    ]
    measured = [epoch for epoch in history if epoch.get("recall") is not None]
    if measured:
        epochs = [epoch["epoch"] for epoch in measured]
        elements.append(
            figure(
                "Recall@50 on the validation data",
                f"The ringed epoch, {epochs[_kept(measured)]}, is the best one, and its vectors "
                "are the model; if it is the last, training for longer may help.",
                charts.lines(
                    "Recall@50 on the validation data",
                    epochs,
                    _values(measured, "recall"),
                    _axis,
                    "epoch",
                    _kept(measured),
                ),
                table(
                    ["epoch", "recall@50"],
                    [[str(e["epoch"]), decimal(e["recall"])] for e in measured],
                ),
            )
        )
    else:
        elements.append(
            paragraph("Training had no validation data, so the last epoch is the model.")
        )
    return [*elements, made]


def _kept(history: list[dict[str, Any]]) -> int:
    """Return the place of the epoch that became the model: the best in validation, or the last."""
    recalls = [epoch.get("recall") for epoch in history]
    known = [recall for recall in recalls if recall is not None]
    return recalls.index(max(known)) if known else len(history) - 1


def _values(history: list[dict[str, Any]], key: str) -> list[float]:
    return [float(epoch[key]) for epoch in history]


def _axis(value: float) -> str:
    return f"{value:.4g}"
