"""Ray: whether it is here, which cluster is used, and what a worker needs of it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from .._threads import usable_cores
from .._validation.scalars import check_real

SECONDS_TO_ANSWER = 10.0


def import_ray() -> Any:
    """Ray, or ImportError with the command that installs it."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "several workers need Ray: pip install 'cml-fast[ray]' "
            f"(the import failed with: {error})"
        ) from error
    return ray


def check_resources(resources: Mapping[str, float]) -> dict[str, float]:
    """Return what each worker needs, by Ray's names, or raise TypeError or ValueError."""
    if not isinstance(resources, Mapping):
        raise TypeError(f'resources must be a dict such as {{"CPU": 1}}, got {resources!r}')
    checked = {
        name: check_real(f"resources[{name!r}]", amount, 0) for name, amount in resources.items()
    }
    if checked.get("GPU", 0) > 1:
        raise ValueError(
            f"resources must give a worker at most one GPU, got {checked['GPU']:g}: each trains on "
            "one. Take more workers"
        )
    checked.setdefault("CPU", 1.0)
    if checked["CPU"] < 1:
        raise ValueError(f"resources must give a worker at least one CPU, got {checked['CPU']:g}")
    return checked


def options_of(resources: Mapping[str, float]) -> dict[str, Any]:
    """What `check_resources` returned, as options of Ray's tasks and actors."""
    others = dict(resources)
    return {
        "num_cpus": others.pop("CPU"),
        "num_gpus": others.pop("GPU", None),
        "memory": others.pop("memory", None),
        "resources": others or None,
        "scheduling_strategy": "SPREAD",
    }


@contextlib.contextmanager
def connected(address: str | None, n_workers: int, resources: dict[str, float]) -> Iterator[Any]:
    """Yield Ray, connected to a cluster that has what the workers need.

    That is the cluster to which this process is connected already, the one at ``address``, or
    without an address one on this machine that ends with the block.

    Raises
    ------
    ImportError
        Without Ray.
    ConnectionError
        If no cluster answers at the address.
    ValueError
        If the cluster is too small.
    """
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address or os.environ.get("RAY_ADDRESS"), n_workers, resources)
    try:
        _check_room(ray, n_workers, resources)
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, address: str | None, n_workers: int, resources: dict[str, float]) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None or address == "local":
        others = {
            name: amount * n_workers
            for name, amount in resources.items()
            if name not in ("CPU", "GPU", "memory")  # Ray counts the GPUs itself
        }
        # As many as are asked for: whoever starts more workers than there are cores wants that.
        n_cpus = max(usable_cores(), int(-(-resources["CPU"] * n_workers // 1)))
        ray.init(
            address="local",
            num_cpus=n_cpus,
            resources=others or None,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
        return
    if address.startswith("ray://"):
        raise ValueError(
            f"address must be that of a cluster's head, such as '10.0.0.1:6379', got {address!r}: "
            "Ray Client is not supported. Run on a node of the cluster, for instance with "
            "ray job submit"
        )
    if address != "auto":
        _check_answers(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConnectionError(f"no Ray cluster answers at {address!r}: {error}") from error


def _check_answers(address: str) -> None:
    """Raise if nothing listens there: Ray would try for minutes, and then end the process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"address must be 'HOST:PORT', 'auto' or 'local', got {address!r}")
    try:
        with socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER):
            pass
    except (OSError, OverflowError) as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address!r} ({error}); start one there with "
            "ray start --head, or leave the address out for workers on this machine"
        ) from error


def _check_room(ray: Any, n_workers: int, resources: dict[str, float]) -> None:
    there = ray.cluster_resources()
    for name, amount in resources.items():
        if amount * n_workers > there.get(name, 0):
            raise ValueError(
                f"{n_workers} workers with {amount:g} {name} each need {amount * n_workers:g}, and "
                f"the cluster has {there.get(name, 0):g}: take fewer workers, or give each less"
            )
