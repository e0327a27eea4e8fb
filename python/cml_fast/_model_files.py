"""A model's folder: safetensors, JSON and perhaps an index, no pickle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import _network_files, _storage
from ._annoy import AnnoyItems
from ._features import FeatureNetwork
from .errors import ModelError

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


def write(folder: Path, model: Stored) -> None:
    """Errors are those of _storage.write_folder."""
    files: dict[str, _storage.Writer] = {
        "vectors.safetensors": partial(_storage.write_arrays, arrays=model.vectors),
        "ids.json": partial(_storage.write_json, value=model.ids),
    }
    if model.networks:
        files["networks.safetensors"] = _network_files.writer(model.networks)
    if model.index is not None:
        files["index.annoy"] = model.index.save
    info = {
        "version": model.version,
        "hyperparameters": model.hyperparameters,
        "networks": sorted(model.networks),
        "index": None if model.index is None else model.index.info,
    }
    _storage.write_folder(folder, KIND, files, info)


def read(folder: Path) -> Stored:
    """Read and verify all files; errors are those of _storage.read_folder."""
    files, info = _storage.read_folder(folder, KIND)
    if not isinstance(info.get("version"), str) or "hyperparameters" not in info:
        raise ModelError(f"{folder}/{KIND}.json does not describe a model")
    index = info.get("index")
    try:
        sides = _network_files.check_sides(info.get("networks"))
    except TypeError as error:
        raise ModelError(f"{folder}/{KIND}.json: {error}") from error
    needed = {"vectors.safetensors", "ids.json"}
    needed |= {"networks.safetensors"} if sides else set()
    needed |= {"index.annoy"} if index else set()
    if files.keys() != needed:
        raise ModelError(f"{folder}/{KIND}.json must list {sorted(needed)}, not {sorted(files)}")
    vectors = _storage.read_arrays(
        files["vectors.safetensors"], {"users": np.float32, "items": np.float32}
    )
    ids = _storage.read_json(files["ids.json"])
    if not isinstance(ids, dict) or not all(isinstance(ids.get(key), list) for key in vectors):
        raise ModelError(f"{files['ids.json']} must hold the lists {sorted(vectors)}")
    networks = _network_files.read(files["networks.safetensors"], sides) if sides else {}
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
