"""What the adapters share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..trainer import Trainer

# The hyper-parameters of `Trainer` and their defaults, without two: the tools say in their own ways
# what to print, and a model that they fit always begins anew.
HYPERPARAMETERS: dict[str, Any] = {
    name: default
    for name, default in Trainer().get_params().items()
    if name not in ("verbose", "warm_start")
}


@contextmanager
def imports_of(tool: str, package: str) -> Iterator[None]:
    """Import a tool in this context; if that fails, say which command installs it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"this adapter needs {tool}: pip install {package} (the import failed with: {error})"
        ) from error


def check_names(settings: Mapping[str, Any]) -> None:
    """Refuse names that are none of `HYPERPARAMETERS`."""
    unknown = settings.keys() - HYPERPARAMETERS.keys()
    if unknown:
        raise TypeError(
            f"unknown hyper-parameter {min(unknown)!r}; there are {', '.join(HYPERPARAMETERS)}"
        )
