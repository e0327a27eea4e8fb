"""What the benchmarks share: rates, result files, kept measurements."""

import json
import math
import statistics
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.common import machine_speed, ranking, results_file
from benchmarks.common.clock import pairs_per_second, rate, ratio, timed
from benchmarks.common.measurement_store import LeftOut, MeasurementStore

# --- clocks -------------------------------------------------------------------------------------


def test_rates_and_ratios():
    assert rate(6, 2) == 3
    assert rate(6, 0) == math.inf
    assert ratio(3, 2) == 1.5
    for one, other in ((0, 2), (3, 0), (0, 0), (math.inf, 2), (3, math.inf)):
        assert math.isnan(ratio(one, other))


def test_time_is_that_of_the_action_alone(steady_clock):
    done = []
    taken = timed("cpu", lambda: done.append(1))
    assert done == [1] and taken == {"cpu_seconds": 1 / 1024, "wall_seconds": 1 / 1024}
    assert pairs_per_second({"pairs": 10, **taken}, "cpu") == 10_240
    on_a_gpu = {"pairs": 10, "cpu_seconds": 1.0, "wall_seconds": 2.0}
    assert pairs_per_second(on_a_gpu, "cuda") == 5


def test_speeds_of_the_machine(monkeypatch, clock):
    monkeypatch.setattr(machine_speed, "MOST_CALLS", 3)
    found = machine_speed.bandwidths(100, 16)
    assert set(found) == {"random_rows", "sequential_read", "sequential_copy"}
    assert all(math.isfinite(speed) == clock and speed > 0 for speed in found.values())
    # A copy reads and writes; each measurement takes one step of the steady clock.
    if clock:
        assert found["sequential_copy"] == 2 * found["sequential_read"] == 2 * 100 * 16 * 4 * 1024
    flops = machine_speed.matrix_product_flops(8)
    assert flops == (5 * 2 * 8**3 * 1024 if clock else math.inf)


# --- result files -------------------------------------------------------------------------------


def test_commands_do_not_name_places():
    arguments = ["--data", "folder/likes.csv", "gowalla", "--rows", "EASE", "CML, softmax"]
    arguments += ["--work", "here", "--out", "there.json", "--folder", "data"]
    command = results_file.command("benchmarks.accuracy", arguments)
    assert command == (
        "python -m benchmarks.accuracy --data likes.csv gowalla --rows EASE 'CML, softmax'"
    )


def test_a_result_file_is_named_after_its_module(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "0"])
    path = results_file.write("benchmarks.studies.cold_start", {"machine": {}, "runs": [1]})
    assert path.name.startswith("cold-start-20") and path.parent == tmp_path
    found = json.loads(path.read_text())
    assert found["command"] == "python -m benchmarks.studies.cold_start --seeds 0"
    assert found["runs"] == [1]
    named = results_file.write("benchmarks.topk", {"machine": {}}, name="another")
    assert named.name.startswith("another-20")


def test_result_files_are_json_in_few_lines():
    value = {
        "short": {"a": 1, "b": [1, 2, {"c": None}]},
        "numbers": [n / 7 for n in range(100)],
        "points": [[n, n / 3] for n in range(30)],
        "nested": {f"key {n}": {"values": list(range(40)), "text": "x" * 60} for n in range(3)},
        "empty": [{}, []],
    }
    text = results_file.dumps(value)
    assert json.loads(text) == value
    assert len(text.splitlines()) < 60 < len(json.dumps(value, indent=1).splitlines()) / 5
    assert all(len(line) < 120 for line in text.splitlines())


# --- kept measurements --------------------------------------------------------------------------


def test_what_was_measured_is_not_measured_again(tmp_path):
    asked = []

    def measured():
        asked.append(1)
        return {"a": (1, 2)}

    first = MeasurementStore(tmp_path, {"x": 1})
    assert first.once("name", measured) == first.once("name", measured) == {"a": [1, 2]}
    assert MeasurementStore(tmp_path, {"x": 1}).once("name", measured) == {"a": [1, 2]}
    assert len(asked) == 1
    with pytest.raises(SystemExit, match="other options"):
        MeasurementStore(tmp_path, {"x": 2})


def test_what_cannot_be_measured_is_left_out_with_the_reason(tmp_path):
    def impossible():
        raise LeftOut("no such thing")

    store = MeasurementStore(tmp_path, {})
    assert store.once("name", impossible) is None
    late = MeasurementStore(tmp_path, {}, seconds=-1)
    assert late.once("other", lambda: 1) is None
    assert store.left_out == {"name": "no such thing"}
    assert "no time" in late.left_out["other"]


# --- samples ------------------------------------------------------------------------------------


def test_a_sample_of_users_is_always_the_same():
    rng = np.random.default_rng(0)
    held_out = sp.random_array((200, 30), density=0.05, rng=rng, format="csr", dtype=np.float32)
    sample = ranking.sample_of_users(held_out, 20)
    users = np.flatnonzero(np.diff(sample.indptr))
    assert len(users) == 20
    np.testing.assert_array_equal(sample[users].toarray(), held_out[users].toarray())
    assert (sample != ranking.sample_of_users(held_out, 20)).nnz == 0
    assert ranking.sample_of_users(held_out, 200) is held_out
    assert statistics.fmean(users) > 30  # drawn, not the first ones
