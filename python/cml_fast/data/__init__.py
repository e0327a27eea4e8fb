"""Interactions and features: reading them from files, splitting them, and synthetic data."""

from ._readers.report import ReadReport
from .dataset import Dataset
from .features import Features
from .interactions import Interactions
from .loading import load_features, load_interactions
from .recency import weigh_by_recency
from .splitting import (
    Split,
    SplitReport,
    k_fold,
    leave_one_out,
    split,
    split_by_time,
    split_items,
    split_last,
    split_users,
)
from .synthetic import Synthetic, synthetic

__all__ = [
    "Dataset",
    "Features",
    "Interactions",
    "ReadReport",
    "Split",
    "SplitReport",
    "Synthetic",
    "k_fold",
    "leave_one_out",
    "load_features",
    "load_interactions",
    "split",
    "split_by_time",
    "split_items",
    "split_last",
    "split_users",
    "synthetic",
    "weigh_by_recency",
]
