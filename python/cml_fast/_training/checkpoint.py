"""Checkpoints: what is stored of a training, when, and how it is checked when it is read.

A checkpoint is a folder of `_storage` with these files and a manifest for the rest:

    tables.safetensors         the four tables, (rows, n_dims) float32 each; accumulators may be
                               (rows, 1)
    networks.safetensors       the feature networks and their accumulators, if there are any
    averages.safetensors       running means of users and items, if they are averaged
    best.safetensors, bestnetworks.safetensors, bestaverages.safetensors
                               the same at the end of the best epoch so far, with validation data
    ids.json                   external ids of users and items, if train had any
    likes.safetensors          of partial_fit and forget: all likes, and the rows trained on
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from .._compute.build_info import VERSION
from .._compute.devices import DEVICES
from .._compute.feature_network import PARAMETERS, FeatureNetwork, check_network
from .._compute.tables import Tables
from .._persistence.folder import (
    Writer,
    check_writable,
    is_unborn,
    read_arrays,
    read_folder,
    read_info,
    read_json,
    read_settled,
    write_arrays,
    write_folder,
    write_json,
)
from .._persistence.networks import ACCUMULATORS, check_entities, network_writer, read_networks
from .._validation.matrices import BLOCK, LARGEST_COMPONENT, check_matrix
from .._validation.scalars import check_choice, check_int, check_real
from ..data._ids import IdIndex
from ..errors import DataError, ModelError
from .ema import ENTITIES, MovingAverages
from .fit_inputs import FitInputs
from .hyperparameters import HYPERPARAMETERS, resolve
from .likes import Likes, MappedLikes
from .reports import Counters, EpochReport
from .state import Best, TrainingState
from .update import Update
from .weighting import WEIGHTINGS

KIND = "checkpoint"
AXES = ("user_ids", "item_ids")
DATA = ("train", "validation", "user_features", "item_features")
NETWORK_ARRAYS = (*PARAMETERS, *ACCUMULATORS)
WEIGHTS = {entity: f"{entity[:-1]}_weights" for entity in ENTITIES}  # of averages
TABLES = ("users", "user_accumulators", "items", "item_accumulators")

Record = TypeVar("Record", Counters, EpochReport)


@dataclass
class Checkpoint:
    """A folder, and what is stored there beside the `TrainingState` of a training.

    Attributes
    ----------
    folder : pathlib.Path
    every : float
        Epochs from one checkpoint to the next.
    hyperparameters : dict
        FitInputs of the trainer: plain values.
    data : dict
        Fingerprints of DATA (None without).
    update : Update or None
        What is trained on, if that is not all that `fit` was given.
    """

    folder: Path
    every: float
    hyperparameters: dict[str, Any]
    data: dict[str, str | None]
    update: Update | None = None

    def next_after(self, state: TrainingState) -> int:
        """The sample at which the next checkpoint is due."""
        begin = state.first_epoch * state.n_pairs
        # A whole number of samples that int64 can hold.
        step = max(1, round(min(self.every * state.n_pairs, 2**62)))
        return begin + ((state.position - begin) // step + 1) * step

    def check_writable(self) -> None:
        """Raise what `write` would raise now."""
        check_writable(self.folder, KIND)

    def write(self, state: TrainingState, *, finished: bool) -> None:
        """Replace the checkpoint in the folder in one step.

        Raises OSError or ModelError if that is impossible; the old one is still there then.
        """
        best = state.best
        files = {"tables.safetensors": _table_writer(state.tables)}
        if state.networks:
            files["networks.safetensors"] = network_writer(state.networks, NETWORK_ARRAYS)
        if best is not None:
            files["best.safetensors"] = _table_writer(best.tables)
        averages = _averages_of(state)
        for name, averaged in averages.items():
            files[name] = partial(write_arrays, arrays=_arrays_of_averages(averaged))
        if best is not None and best.networks:
            files["bestnetworks.safetensors"] = network_writer(best.networks, NETWORK_ARRAYS)
        if state.ids:
            ids = {axis: state.ids[axis].tolist() for axis in AXES}
            files["ids.json"] = lambda path: write_json(path, ids)
        if self.update is not None:
            files["likes.safetensors"] = partial(write_arrays, arrays=_arrays_of(self.update))
        info = {
            "version": VERSION,
            "finished": finished,
            "every": self.every,
            "hyperparameters": self.hyperparameters,
            "data": self.data,
            "seed": state.seed,
            "temperature": state.temperature,
            "user_retention": state.user_retention,
            "n_pairs": state.n_pairs,
            "first_epoch": state.first_epoch,
            "position": state.position,
            "counts": asdict(state.counters),
            "history": [asdict(report) for report in state.history],
            "best": None if best is None else {"epoch": best.epoch, "recall": best.recall},
            "stopped": state.stopped,
            "networks": sorted(state.networks),
            "rowwise": state.tables.rowwise,
            "averaged": {name: [a.first, a.last] for name, a in averages.items()},
            "weighted": [name for name, a in averages.items() if a.weights is not None],
            "update": self.update
            and {"n_epochs": self.update.n_epochs, "weighting": self.update.weighting},
        }
        write_folder(self.folder, KIND, files, info)

    @classmethod
    def read(cls, folder: Path, defaults: Mapping[str, Any]) -> tuple[Checkpoint, TrainingState]:
        """Read and verify a checkpoint; its tables are on the CPU.

        ``defaults`` are the hyper-parameters that there may be, with their default values.

        Raises
        ------
        FileNotFoundError
            If there is none, or the first one was never finished.
        ModelError
            If it cannot be used; the message names the file.
        """
        return read_settled(folder, lambda: cls._read(folder, defaults))

    @classmethod
    def _read(cls, folder: Path, defaults: Mapping[str, Any]) -> tuple[Checkpoint, TrainingState]:
        _check_begun(folder)
        files, info = read_folder(folder, KIND)
        try:
            checkpoint = cls(
                folder,
                check_real("every", info["every"], 0, strict=True),
                dict(info["hyperparameters"]),
                {name: info["data"][name] for name in DATA},
            )
            _check_hyperparameters(checkpoint.hyperparameters, defaults)
            state = _read_state(files, info)
            checkpoint.update = _read_update(files, info, state.tables.shape)
            if state.tables.n_dims != checkpoint.hyperparameters["n_dims"]:
                raise ValueError(f"tables have {state.tables.n_dims} columns")
        except ModelError:
            raise  # names its file
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Values of any type: the checksum of a manifest says only that it is whole.
            raise ModelError(
                f"{folder}/{KIND}.json does not describe a training: "
                f"{type(error).__name__}: {error}"
            ) from error
        return checkpoint, state

    def check_data(self, inputs: FitInputs, state: TrainingState) -> None:
        """Raise DataError unless this is the data that the checkpoint was made with."""
        train = inputs.trained
        for name, found in fingerprints(inputs).items():
            if found == self.data[name]:
                continue
            what = "training" if name == "train" else name.replace("_features", " feature")
            if found is None:
                fault = f"was made with {what} data, and none is given now"
            elif self.data[name] is None:
                fault = f"was made without {what} data"
            else:
                fault = f"was made with other {what} data"
            raise DataError(
                f"{self.folder}: the checkpoint {fault}; give the data it was made with (the same "
                "pairs, weights, and order of users and items), or begin anew with fit"
            )
        if (state.n_pairs, state.tables.shape) != (train.nnz, train.shape):
            raise ModelError(f"{self.folder}/{KIND}.json contradicts the data it was made with")


def check_folder(name: str, value: Any) -> Path:
    """Return an argument that names a folder as an absolute path."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path:
        raise TypeError(f"{name} must be the path of a folder, got {value!r}")
    return Path(path).absolute()


def check_new(folder: Path) -> None:
    """Refuse a folder where a new training may not, or cannot, write its checkpoints."""
    check_writable(folder, KIND)
    if not is_unborn(folder) and not read_info(folder, KIND).get("finished"):
        raise FileExistsError(
            f"{folder} holds a training that is not finished: go on with it (Trainer.resume, or "
            "cml-fast train --resume), remove the folder, or give another one"
        )


def read_settings(folder: Path) -> dict[str, Any] | None:
    """Return the hyper-parameters and checkpoint_every stored in a folder; None if it has none.

    Hyper-parameters that the release which wrote them did not have are at their defaults.
    """
    try:
        _check_begun(folder)
    except FileNotFoundError:
        return None
    info = read_info(folder, KIND)
    try:
        defaults = {name: row.signature_default for name, row in HYPERPARAMETERS.items()}
        return {**defaults, **info["hyperparameters"], "checkpoint_every": info["every"]}
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder}/{KIND}.json does not describe a training") from error


def holds_likes(folder: Path) -> bool:
    """Whether the checkpoint in a folder holds the likes of its training."""
    _check_begun(folder)
    return read_info(folder, KIND).get("update") is not None


def fingerprints(inputs: FitInputs) -> dict[str, str | None]:
    """SHA-256 of each of the DATA that a training was given."""
    features = (inputs.features.get(entity) for entity in ("users", "items"))
    matrices = (inputs.likes, inputs.validation, *features)
    return {
        name: None if matrix is None else _fingerprint(matrix)
        for name, matrix in zip(DATA, matrices, strict=True)
    }


def _fingerprint(matrix: Likes | np.ndarray) -> str:
    """SHA-256 of a canonical matrix, the same for every type of its indices; tokens of files."""
    if isinstance(matrix, MappedLikes):
        return matrix.token
    digest = hashlib.sha256(repr(tuple(map(int, matrix.shape))).encode("ascii"))
    arrays = (
        [(matrix.ravel(), "<f4")]
        if isinstance(matrix, np.ndarray)
        else [(matrix.indptr, "<i8"), (matrix.indices, "<i4"), (matrix.data, "<f4")]
    )
    for array, dtype in arrays:
        for begin in range(0, array.size, BLOCK):
            digest.update(array[begin : begin + BLOCK].astype(dtype).tobytes())
    return digest.hexdigest()


def _check_begun(folder: Path) -> None:
    if is_unborn(folder):
        raise FileNotFoundError(f"there is no {KIND} in {folder} yet: begin with fit")


def _averages_of(state: TrainingState) -> dict[str, MovingAverages]:
    """Those that there are, by the names of their files."""
    best = state.best
    found = {
        "averages.safetensors": state.averages,
        "bestaverages.safetensors": best.averages if best is not None else None,
    }
    return {name: averages for name, averages in found.items() if averages is not None}


def _arrays_of_averages(averages: MovingAverages) -> dict[str, np.ndarray]:
    weights = averages.weights or {}
    return averages.to_arrays() | {WEIGHTS[entity]: weights[entity] for entity in weights}


def _arrays_of(update: Update) -> dict[str, np.ndarray]:
    likes = update.likes
    return {
        "indptr": likes.indptr.astype(np.int64),
        "indices": likes.indices.astype(np.int32),
        "weights": likes.data,
        "users": update.users,
    }


def _table_writer(tables: Tables) -> Writer:
    return lambda path: write_arrays(path, tables.to_numpy())


def _check_hyperparameters(stored: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError unless a trainer can have these."""
    unknown = sorted(stored.keys() - defaults.keys())
    if unknown:
        raise ValueError(f"this release has no hyper-parameter {unknown[0]!r}")
    params = {**defaults, **stored}
    resolve(params)
    check_choice("device", params["device"], DEVICES)


def _read_state(files: dict[str, Path], info: dict[str, Any]) -> TrainingState:
    """Make a state of verified files; KeyError, TypeError or ValueError tell what is wrong."""
    rowwise = info["rowwise"]
    if not isinstance(rowwise, bool):
        raise TypeError(f"rowwise must be true or false, got {rowwise!r}")
    tables = _read_tables(files["tables.safetensors"], rowwise)
    averages = _read_averages(files, info, tables)
    best = None
    if info["best"] is not None:
        best = Best(
            check_int("best epoch", info["best"]["epoch"], 0),
            check_real("best recall", info["best"]["recall"], 0),
            _read_tables(files["best.safetensors"], rowwise),
            _read_networks(files, "bestnetworks.safetensors", info),
            averages.get("bestaverages.safetensors"),
        )
    ids: dict[str, np.ndarray] = {}
    if "ids.json" in files:
        stored = read_json(files["ids.json"])
        for axis, rows in zip(AXES, tables.shape, strict=True):
            ids[axis] = IdIndex(axis.removesuffix("_ids"), stored[axis], rows).array
    if not isinstance(info["stopped"], bool):
        raise TypeError(f"stopped must be true or false, got {info['stopped']!r}")
    state = TrainingState(
        tables,
        check_int("seed", info["seed"], 0, 2**63 - 1),
        ids,
        n_pairs=check_int("n_pairs", info["n_pairs"], 1),
        first_epoch=check_int("first_epoch", info["first_epoch"], 0),
        position=check_int("position", info["position"], 0, 2**63 - 1),
        counters=_read_record(Counters, info["counts"]),
        history=[_read_record(EpochReport, report) for report in info["history"]],
        best=best,
        stopped=info["stopped"],
        networks=_read_networks(files, "networks.safetensors", info),
        averages=averages.get("averages.safetensors"),
        temperature=_read_temperature(info),
        user_retention=check_real("user_retention", info["user_retention"], 0),
    )
    epochs = [report.epoch for report in state.history]
    if (
        state.position != state.epoch * state.n_pairs + state.counters.pairs
        or state.counters.pairs > state.n_pairs
        or epochs != list(range(state.first_epoch, state.epoch))
        or (best is not None and best.epoch not in epochs)
        or (best is not None and not best.tables.is_like(tables))
    ):
        raise ValueError("position, counters, history and tables contradict one another")
    return state


def _read_update(
    files: dict[str, Path], info: dict[str, Any], shape: tuple[int, int]
) -> Update | None:
    stored = info.get("update")  # there is none in checkpoints of earlier releases
    if stored is None:
        return None
    dtypes: dict[str, type[np.generic]] = {
        "indptr": np.int64,
        "indices": np.int32,
        "weights": np.float32,
        "users": np.int64,
    }
    arrays = read_arrays(files["likes.safetensors"], dtypes)
    likes = check_matrix(
        "likes", sp.csr_array(tuple(arrays[n] for n in ("weights", "indices", "indptr")), shape)
    )
    users = arrays["users"]
    if not users.size or users[0] < 0 or users[-1] >= shape[0] or (np.diff(users) <= 0).any():
        raise ValueError("the users that are trained on are no ascending row numbers")
    return Update(
        likes,
        users,
        check_int("n_epochs", stored["n_epochs"], 0),
        check_choice("weighting", stored["weighting"], tuple(WEIGHTINGS)),
    )


def _read_temperature(info: dict[str, Any]) -> float | None:
    temperature = info["temperature"]
    return None if temperature is None else check_real("temperature", temperature, 0, strict=True)


def _read_tables(path: Path, rowwise: bool) -> Tables:
    arrays = read_arrays(path, dict.fromkeys(TABLES, np.float32))
    shapes = {array.shape for array in arrays.values()}
    n_dims = arrays["users"].shape[-1]
    columns = arrays["user_accumulators"].shape[-1]  # n_dims, or one
    for name in ("users", "items"):
        vectors, sums = arrays[name], arrays[f"{name[:-1]}_accumulators"]
        if (
            vectors.ndim != 2
            or 0 in vectors.shape
            or vectors.shape[1] != n_dims
            or columns not in (1, n_dims)
            or sums.shape != (len(vectors), columns)
        ):
            raise ModelError(f"{path} has tables of the shapes {shapes}")
        # Written so that NaN fails as well.
        if not (_in_range(vectors) and sums.min() >= 0 and sums.max() < np.inf):
            raise ModelError(
                f"{path}: {name} has values that are not finite or not within "
                f"{LARGEST_COMPONENT:g}, or negative sums"
            )
    return Tables("cpu", n_dims, **arrays, rowwise=rowwise)


def _in_range(vectors: np.ndarray) -> bool:
    return bool(max(vectors.max(), -vectors.min()) <= LARGEST_COMPONENT)


def _read_averages(
    files: dict[str, Path], info: dict[str, Any], tables: Tables
) -> dict[str, MovingAverages]:
    read = {}
    for name, (first, last) in info["averaged"].items():
        is_weighted = name in info.get("weighted", ())  # older checkpoints do not say
        dtypes: dict[str, type[np.generic]] = dict.fromkeys(ENTITIES, np.float32)
        if is_weighted:
            dtypes |= dict.fromkeys(WEIGHTS.values(), np.float64)
        arrays = read_arrays(files[name], dtypes)
        for entity, rows in zip(ENTITIES, tables.shape, strict=True):
            array = arrays[entity]
            if array.shape != (rows, tables.n_dims) or not _in_range(array):
                raise ModelError(f"{files[name]} has averages of other tables, or not finite")
        weights = None
        if is_weighted:
            weights = {entity: arrays.pop(stored) for entity, stored in WEIGHTS.items()}
            for entity, rows in zip(ENTITIES, tables.shape, strict=True):
                array = weights[entity]
                if array.shape != (rows,) or not (np.isfinite(array) & (array >= 0)).all():
                    raise ModelError(f"{files[name]} has weights of other tables, or not finite")
        first = check_int("first averaged epoch", first, 0)
        last = check_int("last averaged epoch", last, first)
        read[name] = MovingAverages(arrays, first, last, weights)
    return read


def _read_networks(
    files: dict[str, Path], name: str, info: dict[str, Any]
) -> dict[str, FeatureNetwork]:
    entities = check_entities(info["networks"])
    networks = read_networks(files[name], entities, NETWORK_ARRAYS) if entities else {}
    for network in networks.values():
        check_network(network.to_arrays(), info["hyperparameters"]["n_dims"])
    return networks


def _read_record(kind: Callable[..., Record], value: dict[str, Any]) -> Record:
    """Return a dataclass of numbers that are not negative."""
    record = kind(**value)
    for field in fields(record):
        number = getattr(record, field.name)
        if field.type == "int":
            check_int(field.name, number, 0)
        elif number is not None or field.type == "float":
            check_real(field.name, number, 0)
    return record
