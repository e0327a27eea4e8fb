"""How a row is updated: AdaGrad, then the projection onto the norm ball."""

from __future__ import annotations

import numpy as np

from .arithmetic import lane_sum
from .problem import Settings, Tables


def adagrad(
    x: np.ndarray,
    accumulator: np.ndarray,
    gradient: np.ndarray,
    rate: float,
    epsilon: float,
    rowwise: bool = False,
) -> np.ndarray:
    """One AdaGrad step; the accumulator is updated in place, the new vector returned.

    There is one accumulator for each element, of its squared gradients, or one for the row, of the
    mean of the squares of all elements.
    """
    number = x.dtype.type
    if rowwise:
        accumulator += lane_sum(gradient * gradient) / number(len(x))
        step = number(rate) / np.sqrt(accumulator + number(epsilon))
        return np.asarray(x - step * gradient)
    accumulator += gradient * gradient
    stepped: np.ndarray = x - number(rate) * gradient / np.sqrt(accumulator + number(epsilon))
    return stepped


def project_onto_ball(x: np.ndarray, max_norm: float) -> np.ndarray:
    """The nearest point of the ball of radius ``max_norm`` (section 3.5 of the paper)."""
    number = x.dtype.type
    norm = np.sqrt(lane_sum(x * x))
    inside: np.ndarray = x * (number(max_norm) / max(norm, number(max_norm)))
    return inside


def update_row(
    tables: Tables, name: str, row: int, gradient: np.ndarray, settings: Settings
) -> None:
    """Update one row of the table ``name``, "user" or "item"."""
    vectors, accumulators = getattr(tables, name + "s"), getattr(tables, name + "_accumulators")
    stepped = adagrad(
        vectors[row],
        accumulators[row],
        gradient,
        settings.learning_rate,
        settings.epsilon,
        settings.rowwise,
    )
    vectors[row] = project_onto_ball(stepped, settings.max_norm)
