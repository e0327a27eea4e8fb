"""The likes of a worker's users: sent to it, or read by it from the files of a data set."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._training.fit_inputs import FitInputs
from .._training.likes import Likes, MappedLikes, map_likes
from .._training.weighting import mean_weight, weigh
from ..data import Dataset
from ..errors import DataError
from ._sharding import rows_of


@dataclass(frozen=True)
class InFiles:
    """The likes of the users [first, last) of a data set, for a worker that can read its files.

    Attributes
    ----------
    path : pathlib.Path
    token : str
        Of the data set.
    first, last : int
    weighting : str
    mean : float or None
        Of the weights of all likes; None if all weights for training are 1.
    """

    path: Path
    token: str
    first: int
    last: int
    weighting: str
    mean: float | None

    def opened(self) -> MappedLikes:
        """The likes, with the weights for training.

        Raises
        ------
        DataError
            If the files here are missing, damaged or of another data set.
        """
        try:
            dataset = Dataset.open(self.path)
            if dataset.token != self.token:
                raise DataError(f"{self.path} is another data set than the one that fit was given")
            dataset._verify_users(self.first, self.last)
            likes = map_likes(dataset, self.first, self.last)
        except (DataError, FileNotFoundError) as error:
            raise DataError(f"a worker on node {platform.node()} cannot train: {error}") from None
        weighting = "binary" if self.mean is None else self.weighting
        return weigh(likes, weighting, self.mean)


def likes_of_workers(train: Any, inputs: FitInputs, bounds: np.ndarray) -> list[Any]:
    """For each worker a matrix with the rows of its users, or `InFiles`.

    Parameters
    ----------
    train : Dataset, or what ``inputs.likes`` was made of
    inputs : FitInputs
    bounds : numpy.ndarray, (n_workers + 1,)
        Worker w has the users from ``bounds[w]`` to ``bounds[w + 1]``.
    """
    ranges = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    if not isinstance(train, Dataset):
        return [rows_of(inputs.likes, first, last) for first, last in ranges]
    assert isinstance(inputs.likes, MappedLikes)
    assert isinstance(inputs.given, MappedLikes)
    mean = mean_weight(inputs.given, inputs.weighting) if inputs.likes.is_weighted else None
    return [
        InFiles(train.path, train.token, first, last, inputs.weighting, mean)
        for first, last in ranges
    ]


def opened(likes: Any) -> Likes:
    """What a worker trains on, of what it was sent."""
    return likes.opened() if isinstance(likes, InFiles) else likes
