"""Clocks that tests control: no test of the benchmarks depends on how fast the machine is."""

import itertools
import time

import pytest

STEP = 1 / 1024  # exact in binary: sums of steps are exact, too


@pytest.fixture
def steady_clock(monkeypatch):
    """Each look at a clock finds it one step further."""
    for name in ("process_time", "perf_counter"):
        ticks = itertools.count()
        monkeypatch.setattr(time, name, lambda ticks=ticks: next(ticks) * STEP)


@pytest.fixture
def standing_clock(monkeypatch):
    """CPU time and wall time do not advance, as where the clock is coarser than the work."""
    for name in ("process_time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 5.0)


@pytest.fixture(params=["steady_clock", "standing_clock"])
def clock(request):
    """Each of the two in turn; the value is whether it advances."""
    request.getfixturevalue(request.param)
    return request.param == "steady_clock"
