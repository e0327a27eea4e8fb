"""What a projection to the plane is, and what all of them need."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from .space import Space

# The methods that place points by their neighbours need so many points.
FEW = 10


@dataclass(frozen=True)
class Placed:
    """Points in the plane.

    Attributes
    ----------
    points : numpy.ndarray, (n, 2), float
    settings : dict
        How they were placed, as JSON values, for the reader of the map.
    """

    points: np.ndarray
    settings: dict[str, Any]


@dataclass(frozen=True)
class Projection:
    """A way to place the points of a space in the plane.

    Attributes
    ----------
    name : str
        As in ``Model.map(method=...)``.
    title : str
        As the map shows it.
    place : function of Space and int
        Places the points of a space for a seed, and returns Placed.
    package : str, optional
        The module that it needs; None where NumPy is enough.
    install : str
        What ``pip install`` is to be given for that.
    least : int
        It needs so many points.
    """

    name: str
    title: str
    place: Callable[[Space, int], Placed]
    package: str | None = None
    install: str = ""
    least: int = FEW

    def is_installed(self) -> bool:
        """Whether the package is there. This does not import it."""
        return self.package is None or find_spec(self.package) is not None

    def load(self) -> None:
        """Import the package, or raise ImportError that says what to install."""
        if self.package is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what else is not installed
                importlib.import_module(self.package)
        except ImportError as error:
            raise ImportError(
                f"method={self.name!r} needs the package {self.package}: pip install {self.install}"
            ) from error
