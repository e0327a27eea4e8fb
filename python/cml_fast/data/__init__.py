"""Interactions and features: reading them from files, splitting them, and synthetic data."""

from ._readers.report import ReadReport
from .features import Features
from .interactions import Interactions
from .loading import load_features, load_interactions
from .splitting import split
from .synthetic import Synthetic, synthetic

__all__ = [
    "Features",
    "Interactions",
    "ReadReport",
    "Synthetic",
    "load_features",
    "load_interactions",
    "split",
    "synthetic",
]
