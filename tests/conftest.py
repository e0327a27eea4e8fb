"""Fixtures that several test modules share."""

import ctypes
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from support import emulated, postgresql, stand_in_for_cupy
from support.kernels import INSTRUCTION_SETS

from cml_fast._compute.devices import ISA_VARIABLE, cuda_problem


def cuda_or_skip() -> str:
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(problem)
    return "cuda"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "emulated" in item.nodeid or "emulator" in getattr(item, "fixturenames", ()):
            item.add_marker("emulated")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the public data sets are not in ../shared/data, beside the checkout")
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A server with pgvector, see support/postgresql.py."""
    if not postgresql.is_installed():
        reason = f"{postgresql.PACKAGE} is not installed: pip install cml-fast[databases]"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="session")
def emulator() -> ctypes.CDLL:
    """The emulated CUDA device, see support/emulated.py."""
    built = os.environ.get(emulated.LIBRARY_VARIABLE)
    return emulated.load(Path(built) if built else emulated.build_once())


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    return cuda_or_skip() if request.param == "cuda" else "cpu"


@pytest.fixture(params=["numpy", "array_api_strict", "cupy"])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Each namespace of arrays in turn; array_api_strict refuses all that is not in the array API
    standard."""
    if request.param == "cupy":
        cuda_or_skip()
    return import_module(request.param)


@pytest.fixture(params=["cpu", "cuda", "emulated"])
def job_device(request: pytest.FixtureRequest) -> str:
    """Where jobs run: the devices, and the emulated one, which the package does not know."""
    if request.param == "emulated":
        request.getfixturevalue("emulator")
    return cuda_or_skip() if request.param == "cuda" else str(request.param)


@pytest.fixture(params=["cuda", "emulated"])
def cuda_device(request: pytest.FixtureRequest) -> str:
    """A CUDA device, and the emulated one."""
    if request.param == "emulated":
        request.getfixturevalue("emulator")
        return "emulated"
    return cuda_or_skip()


@pytest.fixture(params=["cuda", "stand-in"])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """CuPy on a CUDA device, and what stands in for both."""
    if request.param == "cuda":
        cuda_or_skip()
    else:
        stand_in_for_cupy.install(monkeypatch)
    return import_module("cupy")


@pytest.fixture(params=INSTRUCTION_SETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that runs here, in force during the test."""
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


KERNELS = [*INSTRUCTION_SETS, "cuda", "emulated"]


def device_of(kernel: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if kernel == "cuda":
        return cuda_or_skip()
    if kernel.startswith("emulated"):
        request.getfixturevalue("emulator")
        return kernel
    monkeypatch.setenv(ISA_VARIABLE, kernel)
    return "cpu"


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The device of each compiled kernel in turn: one for every instruction set, and CUDA's, on
    a CUDA device and on an emulated one."""
    return device_of(request.param, request, monkeypatch)


@pytest.fixture(params=[*KERNELS, "emulated-graph"])
def sync_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same for mini-batches, which have further CUDA kernels."""
    return device_of(request.param, request, monkeypatch)
