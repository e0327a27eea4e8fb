"""The losses: for each one function and one row of a table.

A loss is a function of squared distances. It returns its value and, up to the sign, twice its
derivatives with respect to these distances, from which the gradients with respect to the vectors
follow (gradients.py). A loss whose pairs have their own negatives goes into `PAIR_LOSSES`, one
whose pairs share them with the other pairs of a tile into `TILE_LOSSES`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arithmetic import exp, log
from .problem import Settings

# --- own negatives ----------------------------------------------------------------------------


@dataclass
class PairLoss:
    """The loss of a pair, which depends on one of its negatives at most."""

    negative: int  # its place among the negatives; -1: the loss is zero
    impostors: int  # negatives that are nearer than the positive and the margin
    weight: np.floating
    value: np.floating


def rank_weight(n_items: int, n_negatives: int, impostors: int) -> float:
    """w = log(floor(J M / U) + 1), section 3.2 of the paper."""
    return float(np.log(n_items * impostors // n_negatives + 1))


def warp(
    positive: np.floating,
    negatives: np.ndarray,
    pair_weight: float,
    n_items: int,
    settings: Settings,
) -> PairLoss:
    """The hinge of the worst negative times the rank weight (eqs. 1 and 3, section 3.5)."""
    number = negatives.dtype.type
    hinges = np.maximum(number(settings.margin) + positive - negatives, number(0))
    impostors = int((hinges > 0).sum())
    weight = number(rank_weight(n_items, len(negatives), impostors)) * number(pair_weight)
    worst = int(np.argmax(hinges)) if impostors else -1
    return PairLoss(worst, impostors, weight, weight * hinges.max())


PAIR_LOSSES = {"warp": warp}


# --- shared negatives -------------------------------------------------------------------------


@dataclass
class TileLoss:
    """The losses of T pairs that share n negatives, and the coefficients of their gradients.

    With p = 2 dL/d(d_ij^2) and n_k = -2 dL/d(d_ik^2) these are p - sum_k n_k for the user, p for
    the positive, n_k for the negatives.
    """

    user: np.ndarray  # (T,)
    positive: np.ndarray  # (T,)
    negatives: np.ndarray  # (n, T)
    value: np.ndarray  # (T,)
    impostors: np.ndarray  # (T,)


def softmax(
    positive: np.ndarray,
    negatives: np.ndarray,
    weights: np.ndarray,
    n_items: int,
    settings: Settings,
) -> TileLoss:
    """-log of the positive's share of the softmax over itself and its sampled negatives.

    A negative counts ``importance_weight`` times (Bengio and Senecal, 2008). ``positive`` (T,) and
    ``negatives`` (n, T) are squared distances; where one is infinite, the item is no negative of
    that pair.
    """
    number = positive.dtype.type
    rate = number(1) / number(settings.temperature)
    nearest = np.minimum(positive, negatives.min(axis=0))
    p = number(settings.importance_weight) * exp((nearest - negatives) * rate)
    others = np.zeros_like(positive)
    for row in p:
        others = others + row
    everything = exp((nearest - positive) * rate) + others
    scale = number(2) * rate * weights / everything
    value = weights * (log(everything) + (positive - nearest) * rate)
    impostors = ((positive - negatives) > 0).sum(axis=0)
    return TileLoss(np.zeros_like(positive), others * scale, p * scale, value, impostors)


def contrastive(
    positive: np.ndarray,
    negatives: np.ndarray,
    weights: np.ndarray,
    n_items: int,
    settings: Settings,
) -> TileLoss:
    """d_ij^2 + ``negative_weight`` times the sum of the hinges [margin - d_ik^2]_+.

    Mao et al., "SimpleX", CIKM 2021, eq. 3, as a loss on squared distances.
    """
    number = positive.dtype.type
    hinges = np.maximum(number(settings.margin) - negatives, number(0))
    impostors = (hinges > 0).sum(axis=0)
    of_positive = number(2) * weights
    of_negative = number(settings.negative_weight) * of_positive
    total = np.zeros_like(positive)
    for row in hinges:
        total = total + row
    return TileLoss(
        user=of_positive - of_negative * impostors.astype(number),
        positive=of_positive,
        negatives=np.where(hinges > 0, of_negative, number(0)),
        value=weights * (positive + number(settings.negative_weight) * total),
        impostors=impostors,
    )


def shared_warp(
    positive: np.ndarray,
    negatives: np.ndarray,
    weights: np.ndarray,
    n_items: int,
    settings: Settings,
) -> TileLoss:
    """The loss of the paper, as `warp`, for negatives that are shared."""
    number = positive.dtype.type
    limit = number(settings.margin) + positive
    impostors = (limit - negatives > 0).sum(axis=0)
    rank_weights = [rank_weight(n_items, len(negatives), int(m)) for m in impostors]
    weight = np.array(rank_weights, dtype=number) * weights
    nearest = np.minimum(negatives.min(axis=0), limit)
    first = np.arange(len(negatives))[:, None] == negatives.argmin(axis=0)
    coefficient = number(2) * weight
    return TileLoss(
        user=np.zeros_like(positive),
        positive=coefficient,
        negatives=np.where(first, coefficient, number(0)),
        value=weight * (limit - nearest),
        impostors=impostors,
    )


TILE_LOSSES = {"softmax": softmax, "contrastive": contrastive, "shared_warp": shared_warp}
