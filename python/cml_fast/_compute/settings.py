"""The checked hyper-parameters of a training step, as the kernels take them."""

from __future__ import annotations

from dataclasses import dataclass, replace

ADAGRAD_EPSILON = 1e-8
# Short trainings, and those with features, have the learning rate of this epoch throughout: with
# one that begins higher and falls they do worse (see docs/studies/fit-time.md).
STEADY = 10


@dataclass(frozen=True)
class Settings:
    """Checked hyper-parameters of the training step."""

    n_dims: int
    n_negatives: int
    margin: float
    learning_rate: float  # of the first epoch
    max_norm: float
    n_threads: int
    seed: int
    learning_rate_decay: float = 0.0  # see learning_rate_of()
    batch_size: int = 0  # pairs of a synchronous mini-batch; 0: asynchronous updates
    pairs_per_part: int = 0  # visited one part after another; 0: all pairs are one part
    rowwise: bool = False  # AdaGrad keeps one accumulator for each row
    precision: str = "float32"  # of the products of tiles, or "bfloat16"
    loss: str = "warp"
    tile_size: int = 1  # pairs that share negatives
    temperature: float = 1.0
    importance_weight: float = 1.0  # c in csrc/core/losses/softmax.h
    negative_weight: float = 1.0  # W / U in csrc/core/losses/contrastive.h
    user_retention: float = 1.0  # what users keep of their vectors when an epoch begins
    ema_decay: float = 0.0  # 0: vectors are not averaged over epochs
    popularity_weight: float | None = 0.0  # of the model's popularity bias; None: by the rest
    cov_weight: float = 0.0  # 0: no covariance regularisation
    cov_interval: int = 1
    # For training with features.
    n_hidden: int = 1
    feature_weight: float = 1.0
    feature_learning_rate: float = 0.1
    feature_interval: int = 1
    feature_warm_up: int = 0

    def learning_rate_of(self, epoch: int) -> float:
        """The learning rate of an epoch, from 0.

        It depends on nothing else, so that a longer training goes through the same epochs first.
        """
        return self.learning_rate / (1 + self.learning_rate_decay * epoch)

    def steady(self) -> Settings:
        """These settings with the same learning rate in all epochs."""
        rate = self.learning_rate_of(STEADY)
        return replace(self, learning_rate=rate, learning_rate_decay=0.0)
