"""What the callbacks log of an epoch."""

from __future__ import annotations

from .._training.reports import EpochReport

# Names of metrics and the attributes of the report that they come from.
METRICS = {
    "loss": "loss",
    "active_share": "active_share",
    "impostor_share": "impostor_share",
    "seconds": "seconds",
    "recall_at_50": "recall",  # MLflow refuses "@"
}


def metrics_of(report: EpochReport) -> dict[str, float]:
    """Return the metrics of an epoch by name; without validation there is no recall."""
    values = {name: getattr(report, attribute) for name, attribute in METRICS.items()}
    return {name: float(value) for name, value in values.items() if value is not None}
