"""Interactions: reading them from files, splitting them, and making them up."""

from .generator import Synthetic, synthetic
from .interactions import Interactions
from .readers import load_interactions
from .splitting import split

__all__ = ["Interactions", "Synthetic", "load_interactions", "split", "synthetic"]
