"""Interactions and features: reading them from files, splitting them, and making them up."""

from ._readers.features import load_features
from ._readers.interactions import load_interactions
from .features import Features
from .interactions import Interactions
from .splitting import split
from .synthetic import Synthetic, synthetic

__all__ = [
    "Features",
    "Interactions",
    "Synthetic",
    "load_features",
    "load_interactions",
    "split",
    "synthetic",
]
