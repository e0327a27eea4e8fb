"""Collaborative Metric Learning (Hsieh et al., WWW 2017) with fused CPU and CUDA kernels."""

__version__ = "0.1.0"
