"""A model's folder: safetensors, JSON and perhaps an index, no pickle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._compute.feature_network import FeatureNetwork
from .._search.annoy import AnnoyItems
from ..errors import ModelError
from .folder import (
    Writer,
    read_arrays,
    read_folder,
    read_json,
    write_arrays,
    write_folder,
    write_json,
)
from .networks import check_entities, network_writer, read_networks

KIND = "model"


@dataclass(frozen=True)
class Stored:
    """What a folder holds of a model, and in which files."""

    vectors: dict[str, np.ndarray]  # of "users" and "items"
    ids: dict[str, list[Any]]
    networks: Mapping[str, FeatureNetwork]
    version: str
    hyperparameters: dict[str, Any]
    index: AnnoyItems | None
    files: tuple[Path, ...] = ()


def write_model(folder: Path, model: Stored) -> None:
    """Errors are those of write_folder."""
    files: dict[str, Writer] = {
        "vectors.safetensors": partial(write_arrays, arrays=model.vectors),
        "ids.json": partial(write_json, value=model.ids),
    }
    if model.networks:
        files["networks.safetensors"] = network_writer(model.networks)
    if model.index is not None:
        files["index.annoy"] = model.index.save
    info = {
        "version": model.version,
        "hyperparameters": model.hyperparameters,
        "networks": sorted(model.networks),
        "index": None if model.index is None else model.index.info,
    }
    write_folder(folder, KIND, files, info)


def read_model(folder: Path) -> Stored:
    """Read and verify all files; errors are those of read_folder."""
    files, info = read_folder(folder, KIND)
    if not isinstance(info.get("version"), str) or "hyperparameters" not in info:
        raise ModelError(f"{folder}/{KIND}.json does not describe a model")
    index = info.get("index")
    try:
        sides = check_entities(info.get("networks"))
    except TypeError as error:
        raise ModelError(f"{folder}/{KIND}.json: {error}") from error
    needed = {"vectors.safetensors", "ids.json"}
    needed |= {"networks.safetensors"} if sides else set()
    needed |= {"index.annoy"} if index else set()
    if files.keys() != needed:
        raise ModelError(f"{folder}/{KIND}.json must list {sorted(needed)}, not {sorted(files)}")
    vectors = read_arrays(files["vectors.safetensors"], {"users": np.float32, "items": np.float32})
    ids = read_json(files["ids.json"])
    if not isinstance(ids, dict) or not all(isinstance(ids.get(key), list) for key in vectors):
        raise ModelError(f"{files['ids.json']} must hold the lists {sorted(vectors)}")
    networks = read_networks(files["networks.safetensors"], sides) if sides else {}
    annoy = None
    if index:
        try:
            annoy = AnnoyItems.load(files["index.annoy"], vectors["items"], index)
        except ImportError as error:
            warnings.warn(f"the index in {folder} was left out: {error}", stacklevel=3)
    return Stored(
        vectors,
        ids,
        networks,
        info["version"],
        info["hyperparameters"],
        annoy,
        tuple(files.values()),
    )
