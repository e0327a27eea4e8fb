"""The checked hyper-parameters of a training step, as the kernels take them."""

from __future__ import annotations

from dataclasses import dataclass

ADAGRAD_EPSILON = 1e-8


@dataclass(frozen=True)
class Settings:
    """Checked hyper-parameters of the training step."""

    n_dims: int
    n_negatives: int
    margin: float
    learning_rate: float
    max_norm: float
    n_threads: int
    seed: int
    batch_size: int = 0  # pairs of a synchronous mini-batch; 0: asynchronous updates
    pairs_per_part: int = 0  # visited one part after another; 0: all pairs are one part
    rowwise: bool = False  # AdaGrad keeps one accumulator for each row
    loss: str = "warp"
    tile_size: int = 1  # pairs that share negatives
    temperature: float = 1.0
    importance_weight: float = 1.0  # c in csrc/core/losses/softmax.h
    negative_weight: float = 1.0  # W / U in csrc/core/losses/contrastive.h
    user_retention: float = 1.0  # what users keep of their vectors when an epoch begins
    ema_decay: float = 0.0  # 0: vectors are not averaged over epochs
    cov_weight: float = 0.0  # 0: no covariance regularisation
    cov_interval: int = 1
    # For training with features.
    n_hidden: int = 1
    feature_weight: float = 1.0
    feature_learning_rate: float = 0.1
    feature_interval: int = 1
    feature_warm_up: int = 0
