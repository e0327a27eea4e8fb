"""Which device and CPU kernel to use, and why CUDA cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import _core
from .._threads import usable_cores
from ..errors import DeviceUnavailable

ISA_VARIABLE = "CML_FAST_ISA"


# --- choosing a device ------------------------------------------------------------------------

DEVICES = ("auto", "cpu", "cuda")


def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, or None if it can."""
    cuda = _core.build_info()["cuda"]
    if not cuda["built"]:
        return str(cuda["problem"])
    if cuda["problem"]:
        return f"no usable CUDA device: {cuda['problem']}"
    try:
        import cupy
    except ImportError as error:
        return (
            f"CuPy cannot be imported ({error}); install the extra that fits the driver: "
            "pip install cml-fast[cuda13] or cml-fast[cuda12]"
        )
    try:
        if not cupy.cuda.is_available():
            return "CuPy finds no CUDA device"
        device = current_device()
    except RuntimeError as error:  # where the driver is too old for CuPy's own runtime
        return f"CuPy finds no CUDA device ({error})"
    return _kernels_problem(cuda, device)


def current_device() -> dict[str, Any]:
    """The current CUDA device, which trains and searches, as `build_info` describes it."""
    import cupy

    devices: list[dict[str, Any]] = _core.build_info()["cuda"]["devices"]
    number: int = cupy.cuda.runtime.getDevice()
    return devices[number]


@contextmanager
def device_kept(device: str) -> Iterator[None]:
    """Other code may make another CUDA device the current one: it is so only until the end."""
    if device != "cuda":
        yield
        return
    import cupy

    with cupy.cuda.Device():
        yield


def _kernels_problem(cuda: dict[str, Any], device: dict[str, Any]) -> str | None:
    """Why a device cannot run the kernels that were built; None if it can.

    Of CMake's architectures, "90-real" is machine code, which runs on 9.0 and later 9.x;
    "90-virtual" is PTX, which a driver that is not older than the compiler turns into code for any
    later device; "90" is both. "100f" keeps to 10.x, and "90a" to 9.0.
    """
    capability = device["compute_capability"]
    needs_driver = False
    for architecture in cuda["architectures"].split():
        found = re.fullmatch(r"(\d+)(\d)([af]?)(-real|-virtual)?", architecture)
        if found is None:  # "native", "all" or "all-major": CMake chose, and does not say what
            return None
        oldest, family, kind = (int(found[1]), int(found[2])), found[3], found[4]
        if oldest > capability or (family == "a" and oldest != capability):
            continue
        same_family = oldest[0] == capability[0]
        if kind != "-virtual" and same_family:
            return None
        if kind != "-real" and (same_family or not family):
            if cuda["driver"] >= cuda["runtime"]:
                return None
            needs_driver = True
    number = ".".join(map(str, capability))
    if needs_driver:
        return (
            f"the driver is for CUDA {_version(cuda['driver'])}, but the kernels are PTX of CUDA "
            f"{_version(cuda['runtime'])}; update the driver, or build the package with "
            f"CMAKE_CUDA_ARCHITECTURES={number.replace('.', '')}"
        )
    return (
        f"the kernels were built for the architectures {cuda['architectures']}, and the "
        f"{device['name']} has compute capability {number}; build the package with "
        f"CMAKE_CUDA_ARCHITECTURES={number.replace('.', '')}"
    )


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def choose_device(device: Any, precision: Any = "float32") -> tuple[str, str]:
    """Return ("cpu" or "cuda", a sentence that says why).

    Raises
    ------
    ValueError
        For an unknown device.
    DeviceUnavailable
        If "cuda" cannot be used, or the GPU that would be taken lacks this precision.
    """
    if device not in DEVICES:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "cpu":
        return "cpu", "device='cpu' was asked for"
    problem = cuda_problem()
    if problem is None:
        if precision == "bfloat16" and (lacking := _core.cuda_bfloat16_problem()):
            raise DeviceUnavailable(
                f"precision='bfloat16' cannot be used on this GPU: {lacking}; set "
                "precision='float32'"
            )
        return "cuda", "a CUDA device is available"
    if device == "cuda":
        raise DeviceUnavailable(f"device='cuda' cannot be used: {problem}")
    return "cpu", f"CUDA is off: {problem}"


def instruction_set() -> str:
    """The CPU kernel to use: the best one for this machine, or the one the environment forces."""
    usable: list[str] = _core.build_info()["instruction_sets"]
    forced = os.environ.get(ISA_VARIABLE)
    if forced:
        if forced not in usable:
            raise ValueError(
                f"{ISA_VARIABLE}={forced!r} has no kernel on this machine; choose from {usable}"
            )
        return forced
    if not usable:
        raise DeviceUnavailable("this CPU is older than x86-64-v2 (SSE4.2): no kernel runs on it")
    return usable[0]


def default_threads(n_users: int, n_items: int) -> int:
    """All cores, but few enough that the pairs of two threads seldom share a row."""
    return max(1, min(usable_cores(), min(n_users, n_items) // 8))
