"""How large a gradient can be: what fixes the unit in which mini-batches add gradients up.

Gradients are rounded to multiples of a power of two and added as integers, so the order of
addition does not matter. The unit follows from a bound on the norm of every gradient that is
added. All vectors lie in the ball of radius R = ``max_norm``.
"""

from __future__ import annotations

import numpy as np

from .losses import loss_named, shares_negatives
from .settings import Settings

# The bound is a little above what arithmetic without rounding gives.
ROUNDING = 1.001
# Between these, squares of gradients and their sums stay within float32 and int64.
SMALLEST, LARGEST = 1e-15, 1e15


def gradient_bound(settings: Settings, rank_weights: np.ndarray, weights: np.ndarray) -> float:
    """Bound the norm of every gradient that a mini-batch adds up.

    The gradient of a pair in one row is 2 w c (a - b), and two points of the ball are at most 2 R
    apart. w is the weight of the pair, times its rank weight where the loss has those.

    - Where a pair has its own negatives ("warp"), the kernel bounds the norm from the two distances
      it knows, 2 w sqrt(2 (d_ij^2 + d_ik^2)), which is at most 8 w R.
    - Where pairs share negatives, a row can get a gradient from every pair of a tile:
      4 R w c for each. The kernels accept rows up to twice as far out as the ball, and so does the
      bound, and another factor of 2 lies between it and the largest gradient. Rounding to bfloat16
      makes gradients 1% larger at most.

    Parameters
    ----------
    settings : Settings
    rank_weights : numpy.ndarray, (n_negatives + 1,), float32
        By number of impostors.
    weights : numpy.ndarray, (n_pairs,), float32
        The weights of the liked pairs, in training with the mean 1.

    Returns
    -------
    float
        Within [1e-15, 1e15]. A gradient whose square float32 cannot hold is refused by the kernel
        in any case.

    Raises
    ------
    ValueError
        For an unknown loss, and where a mini-batch could not add up gradients as large as this.
    """
    loss = loss_named(settings.loss)
    largest_weight = float(weights.max())
    scale = ROUNDING * loss.coefficient_bound(settings) * settings.max_norm
    if loss.rank_weighted:
        scale *= float(rank_weights.max())
    if not shares_negatives(settings.loss):
        bound = 8 * largest_weight * scale
    else:
        bound = 16 * settings.tile_size * largest_weight * scale
        if settings.batch_size > 0 and bound > LARGEST:
            raise ValueError(
                f"weights of up to {largest_weight:g} times their mean may give gradients up to "
                f"{bound:g}, and mini-batches add them up exactly up to 1e15; make "
                "1 / temperature, negative_weight, max_norm or the spread of the weights smaller"
            )
    return float(np.clip(bound, SMALLEST, LARGEST))
