"""`fit`: what is checked and chosen before the rounds, and the model at the end."""

from __future__ import annotations

import copy
import numbers
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, overload

import numpy as np

from .. import __version__
from .._compute.devices import DEVICES
from .._compute.settings import Settings
from .._search import bulk
from .._training.checkpoint import fingerprints
from .._training.fit_inputs import FitInputs, check_fit_inputs
from .._training.hyperparameters import check_features_used, fewer_pairs
from .._training.popularity import PopularityBias, weight_of
from .._training.reports import history_of
from .._training.start import first_items, skip_users
from .._validation.scalars import check_bool, check_choice, check_int, drawing_from
from ..data import Dataset
from ..errors import DataError, DeviceUnavailable
from ..model import Model
from ..model_selection import Likes, likes_of
from ..trainer import Trainer
from ._checkpoint import read_record
from ._cluster import check_resources, connected, import_ray
from ._driver import Driver
from ._likes import likes_of_workers
from ._partitioned import PartitionedModel
from ._parts import prepare, write_whole
from ._shard import First, Plan
from ._sharding import Rounds, default_epochs, default_rounds, default_shares, user_bounds

# What may be another in a training that goes on.
_OF_THE_ROUNDS = ("n_workers", "rounds_per_epoch")
EXCHANGES = ("object_store", "nccl")
BACKEND = "NCCL"  # as Ray names it
# Hyper-parameters that change nothing in the result.
_FREE = ("device", "n_threads", "verbose")


@overload
def fit(
    train: Likes,
    trainer: Trainer,
    *,
    n_workers: int,
    resources: Mapping[str, float] = ...,
    address: str | None = ...,
    rounds_per_epoch: int | None = ...,
    exchange: str | None = ...,
    checkpoint: str | None = ...,
    resume: bool = ...,
    callbacks: Any = ...,
    out: None = None,
) -> Model: ...
@overload
def fit(
    train: Likes,
    trainer: Trainer,
    *,
    n_workers: int,
    resources: Mapping[str, float] = ...,
    address: str | None = ...,
    rounds_per_epoch: int | None = ...,
    exchange: str | None = ...,
    checkpoint: str | None = ...,
    resume: bool = ...,
    callbacks: Any = ...,
    out: str | os.PathLike[str],
) -> PartitionedModel: ...
def fit(
    train: Likes,
    trainer: Trainer,
    *,
    n_workers: int,
    resources: Mapping[str, float] = {"CPU": 1},
    address: str | None = None,
    rounds_per_epoch: int | None = None,
    exchange: str | None = None,
    checkpoint: str | None = None,
    resume: bool = False,
    callbacks: Any = (),
    out: str | os.PathLike[str] | None = None,
) -> Model | PartitionedModel:
    """Learn from who liked what, with several workers on a Ray cluster.

    Each worker has some of the users, with all their likes, and a copy of all items. It trains its
    share of a round with the ordinary kernels; what all workers changed of the items is combined
    while they train the next round.

    Parameters
    ----------
    train : scipy.sparse matrix or array (n_users, n_items), Interactions, Dataset or Pairs
        As for `Trainer.fit`. Workers read the likes of their users from the files of a
        `data.Dataset` themselves, so its folder must be at the same path on all nodes.
    trainer : Trainer
        Its hyper-parameters are used; it is not fitted. With ``device="cuda"`` the workers train on
        GPUs, with "cpu" on CPUs, and with "auto" on what ``resources`` reserves. Its ``n_threads``
        is that of a worker; None: as many as ``resources`` has CPUs, and one with
        ``update="async"``.
    n_workers : int
        At most as many as there are users with likes.
    resources : dict of str to float
        What Ray reserves for each worker, by Ray's names: ``{"CPU": 4}``, or ``{"GPU": 1}`` to
        train on GPUs. Workers share a GPU if it is a part of 1.
    address : str or None
        Of the cluster: "HOST:PORT" of its head, or "auto" for the one that this machine belongs to.
        None: what the environment variable RAY_ADDRESS says, else workers on this machine. If the
        process is connected to a cluster already, that one is used.
    rounds_per_epoch : int or None
        How often the workers' changes are combined in an epoch. None: as often as there are
        workers, at most four times.
    exchange : {"object_store", "nccl"} or None
        How workers exchange what they changed, while they train the next round; the result is the
        same. "object_store": through the memory of the CPUs and Ray's object store. "nccl": from
        GPU to GPU, by NVIDIA's NCCL and Ray's collectives; each worker needs a whole GPU. None:
        "nccl" if that is so, NCCL is there, and all workers are on one machine. On a network each
        worker would get the changes of all others, and not only those of its share of the items.
    checkpoint : str or None
        A path or URI for `pyarrow.fs`, which driver and workers can reach: a folder for all that is
        needed to go on in another process. It is written after every four epochs, or fewer if a
        worker has more than 2.5 million likes, and at the end.
    resume : bool
        Whether to go on from ``checkpoint`` if there is a training in it. ``n_workers`` and
        ``rounds_per_epoch`` may be others than those with which it began.
    callbacks : iterable of ``callback(trainer, report)``
        Called after each epoch, with ``trainer`` as it was given, while the workers go on. What
        they return is not used.
    out : path or str, optional
        A folder to write the model to, a path or URI for `pyarrow.fs` that all nodes reach, absent
        or empty. Each worker writes its users there, so that the vectors that training came to are
        in the memory of no single process. By default a `Model` in memory is returned.

    Returns
    -------
    Model, or with ``out`` PartitionedModel
        As of `Trainer.fit` (equal to it only in kind: see Notes). Both have the same vectors.

    Raises
    ------
    ImportError
        Without Ray.
    ConnectionError
        If no cluster answers at ``address``.
    TypeError, ValueError, DataError
        For arguments that cannot be used, if the cluster is too small, or if ``checkpoint`` has
        another training.
    FileExistsError
        If ``out`` has anything in it.
    OSError
        If ``out`` cannot be written, or workers write it where this process does not find it.
    ModelError
        If the checkpoint is damaged.
    DeviceUnavailable
        If a worker that is to train on a GPU cannot use it, or not with the trainer's
        ``precision``, or has no NCCL with ``exchange="nccl"``; the message says why.
    RuntimeError
        If a node has no cml_fast or another version, or lost workers do not come back.
    TrainingDiverged
        If a value was not finite.

    Warns
    -----
    UserWarning
        If a training goes on with another ``n_workers`` or ``rounds_per_epoch``: its result is
        then another one.

    Notes
    -----
    With the same ``random_state``, ``n_workers`` and ``rounds_per_epoch`` the model is the same to
    the bit on any cluster, whatever workers or nodes are lost on the way; on GPUs with
    ``precision="bfloat16"``, on any cluster with GPUs of that kind. With another number of workers
    it is another one, about as good: see [Many workers](../user-guide/many-workers.md).

    Both modes of ``update`` are supported, "async" on CPUs and with one thread for each worker.

    Examples
    --------
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> from cml_fast.distributed import fit
    >>> likes = synthetic(200, 100, 3000).interactions
    >>> fit(likes, Trainer(n_epochs=3), n_workers=0)
    Traceback (most recent call last):
    ...
    ValueError: n_workers must be at least 1, got 0
    """
    n_workers = check_int("n_workers", n_workers, 1)
    needed = check_resources(resources)
    if rounds_per_epoch is None:
        per_epoch = default_rounds(n_workers)
    else:
        per_epoch = check_int("rounds_per_epoch", rounds_per_epoch, 1)
    resume = check_bool("resume", resume)
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint, the folder to go on from")
    own, device = _for_workers(trainer, needed), _device_of_workers(trainer, needed)
    why_not = _why_not_nccl(exchange, device, n_workers, needed)
    train = likes_of(train)
    has_users = out is None or not isinstance(train, Dataset)
    inputs = check_fit_inputs(own, train, None, callbacks, None, None, has_users=has_users)
    check_features_used(own.get_params())
    n_users = int((inputs.likes.indptr[1:] > inputs.likes.indptr[:-1]).sum())
    if n_workers > n_users:
        raise ValueError(
            f"n_workers must be at most the number of users with likes, {n_users}, got {n_workers}"
        )
    import_ray()  # before anything that takes long
    record = _record(own, inputs, n_workers, per_epoch)
    stored = _stored(checkpoint, record, resume=resume)
    folder = None if out is None else _prepared(out, checkpoint, inputs)
    with connected(address, n_workers, needed) as ray:
        bounds = user_bounds(inputs.likes.indptr, n_workers)
        settings, first = _begin(own, inputs, stored, bounds)
        counts, weight = inputs.counts, weight_of(settings, has_features=False)
        bias = None
        if weight:
            bias = PopularityBias(weight, settings, counts["user_counts"], counts["item_counts"])
        between = default_epochs(inputs.likes.nnz, n_workers)
        rounds = Rounds(per_epoch, int(own.n_epochs), between)
        n_shares = default_shares(n_workers, inputs.likes.shape[1], settings.n_dims)
        driver = Driver(
            ray,
            Plan(settings, rounds, n_workers, n_shares, device),
            bounds,
            likes_of_workers(train, inputs, bounds),
            needed,
            first,
            checkpoint,
            {**record, "settings": asdict(settings)},
            lambda report: [callback(trainer, report) for callback in inputs.callbacks],
        )
        try:
            said = _choose_exchange(driver, exchange, why_not)
            if device == "cuda":
                own._say(said)
            if folder is None:
                vectors = driver.run(stored, driver.vectors)
            else:
                ids = inputs.ids.get("user_ids")
                entries, items = driver.run(stored, partial(driver.write_users, folder, ids, bias))
        finally:
            driver.stop()
    _describe(own, inputs, settings)
    hyperparameters = {**own._described(), "device": device}
    history = history_of(driver.history)
    if folder is None:
        users, items = vectors if bias is None else bias.add_to(*vectors)
        return Model(
            users,
            items,
            **inputs.ids,
            hyperparameters=hyperparameters,
            networks=None,
            history=history,
            **counts,
        )
    item_ids = inputs.ids.get("item_ids", np.arange(len(items)))
    about = {"hyperparameters": hyperparameters, "history": history, "version": __version__}
    write_whole(folder, entries, items, item_ids, counts["item_counts"], about)
    return PartitionedModel.open(folder)


def _for_workers(trainer: Trainer, resources: dict[str, float]) -> Trainer:
    """A trainer with these hyper-parameters, for one worker; refuse what workers cannot do.

    What is chosen before the rounds is computed by this process, on its CPU.
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer must be a Trainer, got {trainer!r}")
    given = trainer.get_params()
    for name, wanted, why in (
        ("warm_start", False, "a training by several workers begins anew"),
        ("cov_weight", 0, "workers do not regularise covariances"),
    ):
        if given[name] != wanted:
            raise ValueError(
                f"trainer has {name}={given[name]!r}, which distributed.fit does not support: "
                f"{why}. Set {name}={wanted!r}, or call Trainer.fit"
            )
    if given["update"] == "async":
        if given["n_threads"] not in (None, 1):
            raise ValueError(
                f"trainer has update='async' and n_threads={given['n_threads']}, with which no "
                "result can be repeated: set n_threads=1 and take more workers, or update='sync'"
            )
        n_threads = 1
    else:
        n_threads = given["n_threads"] or int(resources["CPU"])
    return Trainer(**{**given, "device": "cpu", "n_threads": n_threads})


def _device_of_workers(trainer: Trainer, resources: dict[str, float]) -> str:
    """Where the workers train: "cuda" if Ray reserves a GPU for each, else "cpu"."""
    given = trainer.get_params()
    device, update = check_choice("device", given["device"], DEVICES), given["update"]
    if not resources.get("GPU"):
        if device == "cuda":
            raise ValueError(
                "trainer has device='cuda', and resources reserve no GPU for the workers: give "
                "resources={'GPU': 1}, or set device='cpu'"
            )
        return "cpu"
    if device == "cpu":
        raise ValueError(
            "trainer has device='cpu', and resources reserve GPUs: leave GPU out, or set "
            "device='cuda'"
        )
    if update == "async":
        raise ValueError(
            "trainer has update='async', with which no result of GPUs can be repeated: set "
            "update='sync', or leave GPU out of resources"
        )
    return "cuda"


def _why_not_nccl(
    exchange: str | None, device: str, n_workers: int, resources: dict[str, float]
) -> str | None:
    """Why workers should not exchange by NCCL, as far as is known before they begin, or None."""
    if exchange is not None:
        check_choice("exchange", exchange, EXCHANGES)
    if exchange == "object_store":
        return "exchange='object_store'"
    if device != "cuda":
        reason = "workers train on CPUs"
    elif resources["GPU"] != 1:  # NCCL refuses two members on one GPU
        reason = "workers share GPUs"
    elif n_workers == 1 and exchange is None:
        reason = "there is one worker"
    else:
        return None
    if exchange == "nccl":
        raise ValueError(
            f"exchange='nccl' needs a whole GPU for each worker, and {reason}: give "
            "resources={'GPU': 1}, or leave exchange out"
        )
    return reason


def _choose_exchange(driver: Driver, exchange: str | None, why_not: str | None) -> str:
    """Let workers exchange by NCCL, unless it is known ``why_not``; say how they do, and why."""
    if why_not is None and exchange is None and not driver.on_one_node():
        why_not = "they are on several machines"
    if why_not is None:
        why_not = driver.gather_by(BACKEND)
        if why_not is not None and exchange == "nccl":
            raise DeviceUnavailable(f"exchange='nccl' cannot be used: {why_not}")
    if why_not is None:
        return "workers exchange from GPU to GPU, by NCCL"
    return f"workers exchange through the memory of the CPUs: {why_not}"


def _begin(
    own: Trainer, inputs: FitInputs, stored: dict[str, Any] | None, bounds: np.ndarray
) -> tuple[Settings, First | None]:
    """The settings, with all that is chosen and drawn, and what each worker begins with.

    These are the vectors with which `Trainer.fit` begins; None if there is a checkpoint to go on
    from. Worker w has the users from ``bounds[w]`` to ``bounds[w + 1]``.
    """
    if stored is not None:
        return Settings(**{**stored["settings"], "n_threads": inputs.settings.n_threads}), None
    with drawing_from(own.random_state) as generator:
        inputs = own._with_retention(inputs, None)
        temperature = own._choose_temperature(inputs, None)
        # From here on as Trainer._begin.
        settings = replace(inputs.settings, seed=int(generator.integers(2**63)))
        generators = []
        for n_users in np.diff(bounds).tolist():
            generators.append(copy.deepcopy(generator))
            skip_users(n_users, settings.n_dims, generator)
        items, smooth = first_items(inputs.likes, settings.n_dims, settings.max_norm, generator)
    if temperature is not None:
        settings = replace(settings, temperature=temperature)
    if own.batch_size is None:
        settings = fewer_pairs(settings, inputs.likes.nnz // len(generators))
    return settings, First(generators, {"items": items, "smooth": smooth})


def _record(own: Trainer, inputs: FitInputs, n_workers: int, per_epoch: int) -> dict[str, Any]:
    """What must be the same to go on with a training."""
    seed = own.random_state
    hyperparameters = own._stored(int(seed) if isinstance(seed, numbers.Integral) else -1)
    return {
        "version": __version__,
        "train": fingerprints(inputs)["train"],
        "n_workers": n_workers,
        "rounds_per_epoch": per_epoch,
        **{name: value for name, value in hyperparameters.items() if name not in _FREE},
    }


def _stored(
    checkpoint: str | None, record: dict[str, Any], *, resume: bool
) -> dict[str, Any] | None:
    """The record of the training to go on with, if there is one; refuse another one."""
    if checkpoint is None:
        return None
    stored = read_record(str(checkpoint))
    if stored is None:
        return None
    if not resume:
        raise ValueError(
            f"checkpoint {str(checkpoint)!r} holds a training: go on from it with resume=True, or "
            "give another folder"
        )
    for name, value in record.items():
        if stored.get(name) == value:
            continue
        if name in _OF_THE_ROUNDS:
            warnings.warn(
                f"checkpoint {str(checkpoint)!r} was written with {name}={stored[name]}, and the "
                f"training goes on with {name}={value}: the result is another one, to the bit, "
                "than with the same number",
                stacklevel=3,
            )
        else:
            what = "other likes" if name == "train" else f"{name}={stored.get(name)!r}"
            raise DataError(
                f"checkpoint {str(checkpoint)!r} has a training with {what}: give the same to go on"
            )
    return stored


def _prepared(out: str | os.PathLike[str], checkpoint: str | None, inputs: FitInputs) -> str:
    """The folder of the model to write, which workers find as well; refuse what is in use."""
    for name, ids in inputs.ids.items():
        bulk.check_text(f"train.{name}", ids)
    folder = os.fspath(out)
    if checkpoint is not None and folder.rstrip("/") == str(checkpoint).rstrip("/"):
        raise ValueError(f"out and checkpoint must be two folders, got {folder!r} for both")
    if "://" not in folder:
        folder = os.path.abspath(folder)  # a worker may be in another folder
    prepare(folder)
    return folder


def _describe(own: Trainer, inputs: FitInputs, settings: Settings) -> None:
    """Set what was chosen as if ``own`` had been fitted; hyper-parameters are described by it."""
    own.weighting_, own.n_negatives_ = inputs.weighting, settings.n_negatives
    own.user_retention_ = settings.user_retention
    own.popularity_weight_ = weight_of(settings, has_features=False)
    own.temperature_ = settings.temperature if settings.loss == "softmax" else None
