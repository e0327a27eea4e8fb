"""The studies of the build, without building."""

from __future__ import annotations

import math

from benchmarks.studies.fixed_sizes import Worker, measure
from cml_fast import _core, build_info


class SteadyWorker(Worker):
    """One that always needs the same time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def seconds(self, **arguments: object) -> float:
        return self._seconds


def test_ratios_are_those_to_the_first_worker() -> None:
    workers = {"AUTO": SteadyWorker(2e-6), "slower": SteadyWorker(3e-6), "NONE": SteadyWorker(0.0)}
    found = measure(workers, 3, loss="warp")
    assert found.pop("AUTO, ns") == 2000.0
    assert found.pop("slower") == 1.5
    assert math.isnan(found.pop("NONE"))  # its clock stands still
    assert not found


def test_a_worker_trains_with_the_module_that_it_is_given() -> None:
    worker = Worker(_core.__file__, build_info()["instruction_set"])
    arguments = {"loss": "softmax", "update": "sync", "n_dims": 8}
    assert worker.seconds(**arguments) >= 0
    assert worker.seconds(**arguments) >= 0  # goes on
    worker.end()
