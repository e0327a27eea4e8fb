"""Metrics of rankings, and the result of an evaluation.

`registry` has the metrics by name; the functions are in `accuracy` and `beyond_accuracy`.
"""

from .accuracy import (
    auc,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
    recall_capped,
    reciprocal_rank,
)
from .beyond_accuracy import coverage, diversity, novelty, popularity, popularity_lift
from .measuring import measure, measure_rankings
from .registry import DEFAULT_METRICS, METRICS, Known, OfAllLists, OfHits, OfLists, OfOrder
from .result import Cold, Evaluation

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "Cold",
    "Evaluation",
    "Known",
    "OfAllLists",
    "OfHits",
    "OfLists",
    "OfOrder",
    "auc",
    "average_precision",
    "coverage",
    "diversity",
    "hit_rate",
    "measure",
    "measure_rankings",
    "ndcg",
    "novelty",
    "popularity",
    "popularity_lift",
    "precision",
    "recall",
    "recall_capped",
    "reciprocal_rank",
]
