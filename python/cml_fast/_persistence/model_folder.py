"""The folder of a saved model: safetensors, JSON and perhaps an index, no pickle.

Beside the manifest ``model.json`` it holds

    vectors.safetensors    the vectors of "users" and "items", float32
    ids.json               the external ids of "users" and "items"
    networks.safetensors   the feature networks, if the model has any
    counts.safetensors     the likes in training of "users" and "items", int64, and which users
                           features placed ("placed_users", bool), if the model knows the likes
    index.<kind>           the index of the items, if the model has one
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._compute.feature_network import FeatureNetwork
from .._search.index import KINDS, ItemIndex, describe_index, load_index
from .._validation.scalars import check_bool
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
VECTORS = "vectors.safetensors"
IDS = "ids.json"
NETWORKS = "networks.safetensors"
COUNTS = "counts.safetensors"
# From `open_index` to the caller of `Model.load`: read_index, Model._read, lambda, read_settled.
LOAD_LEVEL = 7


@dataclass(frozen=True)
class StoredModel:
    """The parts of a model that are in every folder; the index is read and written apart."""

    vectors: dict[str, np.ndarray]  # of "users" and "items", as ids
    ids: dict[str, list[Any]]
    networks: Mapping[str, FeatureNetwork]
    counts: dict[str, np.ndarray]  # of "users" and "items", and "placed_users"; or empty
    version: str
    hyperparameters: dict[str, Any]
    history: list[dict[str, Any]]  # of the epochs; empty in models of earlier releases
    # Only of a model that was read: its verified files, and the description of its index.
    files: dict[str, Path] = field(default_factory=dict)
    index: dict[str, Any] | None = None


def write_model(folder: Path, model: StoredModel, index: ItemIndex | None) -> None:
    """Save a model and its index; errors are those of `write_folder`."""
    files: dict[str, Writer] = {
        VECTORS: partial(write_arrays, arrays=model.vectors),
        IDS: partial(write_json, value=model.ids),
    }
    if model.networks:
        files[NETWORKS] = network_writer(model.networks)
    if model.counts:
        files[COUNTS] = partial(write_arrays, arrays=model.counts)
    if index is not None:
        files[_index_file(index.kind)] = index.save
    info = {
        "version": model.version,
        "hyperparameters": model.hyperparameters,
        "history": model.history,
        "networks": sorted(model.networks),
        "counts": bool(model.counts),
        "index": None if index is None else describe_index(index, model.vectors["items"]),
    }
    write_folder(folder, KIND, files, info)


def read_model(folder: Path) -> StoredModel:
    """Read and verify all files but the index; errors are those of `read_folder`."""
    files, info = read_folder(folder, KIND)
    manifest = f"{folder}/{KIND}.json"
    if not isinstance(info.get("version"), str) or "hyperparameters" not in info:
        raise ModelError(f"{manifest} does not describe a model")
    try:
        entities = check_entities(info.get("networks"))
        index = _check_index(info.get("index"))
        has_counts = check_bool("counts", info.get("counts", False))
    except TypeError as error:
        raise ModelError(f"{manifest}: {error}") from error
    needed = {VECTORS, IDS}
    if entities:
        needed.add(NETWORKS)
    if has_counts:
        needed.add(COUNTS)
    if index is not None:
        needed.add(_index_file(index["kind"]))
    if files.keys() != needed:
        raise ModelError(f"{manifest} must list {sorted(needed)}, not {sorted(files)}")
    vectors = read_arrays(files[VECTORS], {"users": np.float32, "items": np.float32})
    ids = read_json(files[IDS])
    if not isinstance(ids, dict) or not all(isinstance(ids.get(key), list) for key in vectors):
        raise ModelError(f"{files[IDS]} must hold the lists {sorted(vectors)}")
    networks = read_networks(files[NETWORKS], entities) if entities else {}
    counts = {}
    if has_counts:
        dtypes: dict[str, type[np.generic]] = {"users": np.int64, "items": np.int64}
        counts = read_arrays(files[COUNTS], {**dtypes, "placed_users": np.bool_})
    about = info["version"], info["hyperparameters"], info.get("history", [])
    return StoredModel(vectors, ids, networks, counts, *about, files, index)


def read_index(model: StoredModel, item_vectors: np.ndarray) -> ItemIndex | None:
    """Open the index that a model was saved with, if there is one.

    Warnings, which point at the caller of `Model.load`, and errors are those of `open_index`.
    """
    if model.index is None:
        return None
    path = model.files[_index_file(model.index["kind"])]
    return open_index(path, item_vectors, model.index, stacklevel=LOAD_LEVEL)


def open_index(
    path: Path, item_vectors: np.ndarray, description: dict[str, Any], *, stacklevel: int
) -> ItemIndex | None:
    """Open an index.

    One that cannot be used here, because this release does not know its kind or the package for it
    is not installed, is left out with a warning.

    Raises
    ------
    ModelError
        If the index is damaged or was made of other vectors.
    """
    kind = description["kind"]
    problem = f"its kind {kind!r} is not one of {list(KINDS)}"
    if kind in KINDS:
        try:
            return load_index(path, item_vectors, description)
        except ImportError as error:
            problem = str(error)
    warnings.warn(f"the index {path} was left out: {problem}", stacklevel=stacklevel)
    return None


def _check_index(index: Any) -> dict[str, Any] | None:
    """Return the description of an index in a manifest."""
    if index is not None and (
        not isinstance(index, dict) or not isinstance(index.get("kind"), str)
    ):
        raise TypeError(f"index must be null or have a kind, got {index!r}")
    return index


def _index_file(kind: str) -> str:
    return f"index.{kind}"
