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


def check_entities(entities: Any) -> list[str]:
    """Return the entities, "users" and "items", whose networks a manifest lists."""
    if not isinstance(entities, list) or any(e not in ("users", "items") for e in entities):
        raise TypeError(f"networks must be a list of 'users' and 'items', got {entities!r}")
    return entities


def network_writer(
    networks: Mapping[str, FeatureNetwork], names: tuple[str, ...] = PARAMETERS
) -> Writer:
    """Return a function that writes the named arrays of each network to one safetensors file."""
    arrays: dict[str, np.ndarray] = {}
    for entity, network in networks.items():
        own = network.to_arrays()
        arrays |= {f"{entity}.{name}": own[name] for name in names}
    return partial(write_arrays, arrays=arrays)


def read_networks(
    path: Path, entities: list[str], names: tuple[str, ...] = PARAMETERS
) -> dict[str, FeatureNetwork]:
    """Read what `network_writer` wrote, or raise ModelError."""
    keys = [f"{entity}.{name}" for entity in entities for name in names]
    arrays = read_arrays(path, dict.fromkeys(keys, np.float32))
    return {
        entity: FeatureNetwork.from_arrays({name: arrays[f"{entity}.{name}"] for name in names})
        for entity in entities
    }
