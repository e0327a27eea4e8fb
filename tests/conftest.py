"""Fixtures that several test modules share."""

from pathlib import Path

import pytest

from cml_fast import _core
from cml_fast._backend import ISA_VARIABLE, cuda_problem

INSTRUCTION_SETS = _core.build_info()["instruction_sets"]


def cuda_or_skip() -> str:
    problem = cuda_problem()
    if problem is not None:
        pytest.skip(problem)
    return "cuda"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the public data sets are not in ../shared/data, beside the checkout")
    return path


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    return cuda_or_skip() if request.param == "cuda" else "cpu"


@pytest.fixture(params=INSTRUCTION_SETS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that runs here, in force during the test."""
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return str(request.param)


@pytest.fixture(params=[*INSTRUCTION_SETS, "cuda"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The device of each compiled kernel in turn: one for every instruction set, and CUDA's."""
    if request.param == "cuda":
        return cuda_or_skip()
    monkeypatch.setenv(ISA_VARIABLE, request.param)
    return "cpu"
