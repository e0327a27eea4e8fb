"""The study of several workers, without Ray; `distributed/on_a_cluster` runs its part on Ray."""

import json

import pytest

from benchmarks.studies import distributed as study
from cml_fast.distributed._sharding import default_rounds


def test_quality_is_compared_with_one_worker(tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    options = ["--parts", "quality", "--names", "tiny", "--workers", "1", "3", "--epochs", "2"]
    study.main([*options, "--work", str(tmp_path / "work"), "--out", str(out)])
    one, three = json.loads(out.read_text())["quality"]["tiny"]
    assert (one["workers"], three["workers"], three["rounds per epoch"]) == (1, 3, 2)
    assert one["compared with the first"] == 0
    change = three["recall@50"] / one["recall@50"] - 1
    assert three["compared with the first"] == pytest.approx(change, abs=1e-4)


def measured(n_workers, seconds, beside):
    return {
        "workers": n_workers,
        "rounds per epoch": default_rounds(n_workers),
        study.IN_EXCHANGE: [beside] * n_workers,
        study.IN_KERNELS: [seconds] * n_workers,
        "bytes sent by a worker in a round": 0,
    }


@pytest.fixture
def model():
    rows = {1: measured(1, 10.0, 0.1), 2: measured(2, 5.0, 0.3)}
    return study.RoundModel(
        10**7, 1000, "likes", rows, {"driver": 1e-5, "worker": 1e-4, "byte": 1e-9}
    )


def test_the_model_says_what_it_was_calibrated_on(model):
    assert model.epoch(1)["seconds"] == pytest.approx(10.3)
    said = model.epoch(2)
    assert said["kernels"] == pytest.approx(5)
    assert said["exchange"] == pytest.approx(0.3)
    assert said["objects"] == pytest.approx(1.5e-4 + 264e3 * 1e-9, abs=1e-4)
    # All items are drawn: each worker sends half of its changes, and half of the sums.
    assert said["bytes sent by a worker in a round"] == 1000 * 4 * (1 + study.N_DIMS + 1)


def test_the_model_adds_networks_and_calls(model):
    slow, fast = (model.epoch(8, gbit) for gbit in (10, 100))
    n_bytes = slow["bytes sent by a worker in a round"]
    for said, gbit in ((slow, 10), (fast, 100)):
        in_network = 4 * (n_bytes / (gbit * study.GBIT) + 2 * study.LATENCY)
        assert said["network"] == pytest.approx(in_network, abs=1e-4)
        assert said["driver"] == pytest.approx(4 * 1.5 * 64 * 1e-5, abs=1e-4)
    assert fast["speed-up"] >= slow["speed-up"] > 1
    assert model.epoch(512, 100)["driver"] == pytest.approx(4 * 1.5 * 512**2 * 1e-5, abs=1e-3)
