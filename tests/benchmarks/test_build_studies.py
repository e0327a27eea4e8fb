"""The studies of the build, without building."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks.studies import kernel_time
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


@pytest.mark.parametrize("loss", ["softmax", "contrastive"])
def test_builds_train_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str, capsys: pytest.CaptureFixture[str]
) -> None:
    likes, out = tmp_path / "likes.csv", tmp_path / "out.json"
    pairs = [f"u{k % 40},i{k * k % 61}" for k in range(400)]
    likes.write_text("\n".join(["user,item", *pairs]))
    instruction_set = build_info()["instruction_set"]
    names = ["--names", likes, "--instruction-sets", instruction_set]
    small = ["--rounds", 2, "--n-dims", 8, "--loss", loss]
    arguments = [_core.__file__, _core.__file__, *names, *small, "--out", out]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
    kernel_time.main()
    (found,) = json.loads(out.read_text())["builds"].values()
    one, other = found["hashes"]
    assert one == other and len(one) == 64
    assert len(found["speed"]) == 2
    assert "same bits" in capsys.readouterr().out


def test_other_bits_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(kernel_time.Worker):
        def __init__(self, *_: object) -> None:
            pass

        def seconds(self) -> float:
            return 1e-6

        def end(self) -> str:
            return str(id(self))

    monkeypatch.setattr(kernel_time, "Worker", Other)
    monkeypatch.setattr(sys, "argv", ["x", "a", "b", "--names", "n", "--out", str(tmp_path / "o")])
    with pytest.raises(SystemExit, match="other tables"):
        kernel_time.main()
