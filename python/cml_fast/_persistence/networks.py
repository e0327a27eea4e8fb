"""Feature networks in the folders of models and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._compute.feature_network import PARAMETERS, FeatureNetwork
from .folder import Writer, read_arrays, write_arrays

ACCUMULATORS = tuple(f"{name}_accumulators" for name in PARAMETERS)


def check_entities(sides: Any) -> list[str]:
    """Return what a manifest says of whose networks there are."""
    if not isinstance(sides, list) or any(side not in ("users", "items") for side in sides):
        raise TypeError(f"networks must be a list of 'users' and 'items', got {sides!r}")
    return sides


def network_writer(
    networks: Mapping[str, FeatureNetwork], names: tuple[str, ...] = PARAMETERS
) -> Writer:
    """Of these arrays of each network, of its parameters by default."""
    arrays: dict[str, np.ndarray] = {}
    for side, network in networks.items():
        own = network.to_arrays()
        arrays |= {f"{side}.{name}": own[name] for name in names}
    return partial(write_arrays, arrays=arrays)


def read_networks(
    path: Path, sides: list[str], names: tuple[str, ...] = PARAMETERS
) -> dict[str, FeatureNetwork]:
    keys = [f"{side}.{name}" for side in sides for name in names]
    arrays = read_arrays(path, dict.fromkeys(keys, np.float32))
    return {
        side: FeatureNetwork.from_arrays({name: arrays[f"{side}.{name}"] for name in names})
        for side in sides
    }
