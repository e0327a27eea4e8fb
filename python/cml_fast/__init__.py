"""Collaborative Metric Learning (Hsieh et al., WWW 2017) with fused CPU and CUDA kernels."""

from ._core import build_info as _core_build_info

__version__: str = _core_build_info()["version"]

from ._compute.build_info import build_info
from ._training.reports import EpochReport
from .model import Model
from .trainer import Trainer

__all__ = ["EpochReport", "Model", "Trainer", "__version__", "build_info"]
