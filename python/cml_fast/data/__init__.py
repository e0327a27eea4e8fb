"""Interactions and features: reading them from files, splitting them, and making them up."""

from .feature_readers import load_features
from .features import Features
from .generator import Synthetic, synthetic
from .interactions import Interactions
from .readers import load_interactions
from .splitting import split

__all__ = [
    "Features",
    "Interactions",
    "Synthetic",
    "load_features",
    "load_interactions",
    "split",
    "synthetic",
]
