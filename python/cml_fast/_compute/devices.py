"""Which device and CPU kernel to use, and why CUDA cannot be used."""

from __future__ import annotations

import os
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
    if not cupy.cuda.is_available():
        return "CuPy finds no CUDA device"
    return None


def choose_device(device: Any) -> tuple[str, str]:
    """Return ("cpu" or "cuda", a sentence that says why)."""
    if device not in DEVICES:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    if device == "cpu":
        return "cpu", "device='cpu' was asked for"
    problem = cuda_problem()
    if problem is None:
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
    """All cores, but few enough that pairs in flight seldom share a row (see the CUDA rule)."""
    return max(1, min(usable_cores(), min(n_users, n_items) // 8))
