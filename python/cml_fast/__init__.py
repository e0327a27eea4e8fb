"""Collaborative Metric Learning (Hsieh et al., WWW 2017) with fused CPU and CUDA kernels."""

from ._compute.build_info import VERSION as __version__
from ._compute.build_info import build_info
from ._training.reports import EpochReport
from .model import Model
from .trainer import Trainer

__all__ = ["EpochReport", "Model", "Trainer", "__version__", "build_info"]
