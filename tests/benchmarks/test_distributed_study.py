"""The study of several workers, without Ray; `distributed/on_a_cluster` runs its part on Ray."""

import json

import pytest

from benchmarks.studies import distributed as study
from cml_fast.distributed._sharding import default_rounds, default_shares


def test_quality_is_compared_with_one_worker(tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    options = ["--parts", "quality", "--names", "tiny", "--workers", "1", "3", "--epochs", "2"]
    options += ["--seeds", "2", "--work", str(tmp_path), "--out", str(out)]
    study.main(options)
    one, three = json.loads(out.read_text())["quality"]["tiny"]
    assert (one["workers"], three["workers"], three["rounds per epoch"]) == (1, 3, 3)
    key = "compared with the first: mean, least, largest"
    assert one[key] == [0, 0, 0]
    done = json.loads((tmp_path / "measured.json").read_text())["done"]
    first, second = (
        done[f"tiny, seed {seed}, 3 workers, 3 rounds"]
        / done[f"tiny, seed {seed}, 1 workers, 1 rounds"]
        - 1
        for seed in (0, 1)
    )
    expected = [(first + second) / 2, min(first, second), max(first, second)]
    assert three[key] == pytest.approx(expected, abs=1e-4)


def test_the_speed_is_compared_with_trainings_that_share_nothing(tmp_path, monkeypatch):
    """Measured in turn, so that a machine that slows down changes no ratio."""
    slowness = iter([1.0, 1.0, 3.0, 3.0, 2.0, 2.0])  # of both numbers of workers in each turn
    alone = iter([1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    walls, alone_walls = {1: 10.0, 2: 6.0}, {1: 8.0, 2: 10.0}
    monkeypatch.setattr(
        study,
        "speed",
        lambda likes, name, n, n_epochs: timed(n, walls[n] * next(slowness), likes.nnz),
    )
    monkeypatch.setattr(
        study,
        "independent",
        lambda likes, name, n, n_epochs: {
            "trainings": n,
            "pairs per wall second": n * likes.nnz / (alone_walls[n] * next(alone)),
        },
    )
    monkeypatch.setattr(study, "objects", lambda: {"driver": 1e-5, "worker": 1e-4, "byte": 1e-9})
    out = tmp_path / "out.json"
    options = ["--parts", "speed", "--speed-names", "tiny", "--speed-workers", "1", "2"]
    study.main([*options, "--work", str(tmp_path), "--out", str(out)])
    _, two = json.loads(out.read_text())["tiny"]["measured"]
    assert two["speed-up"] == pytest.approx([10 / 6] * 3, abs=0.01)
    assert two["speed-up of trainings that share nothing"] == [1.6] * 3
    assert two["share of that"] == pytest.approx([10 / 6 / 1.6] * 3, abs=1e-3)
    likes = json.loads(out.read_text())["tiny"]["pairs"]
    assert two["pairs per wall second"] == pytest.approx(likes / 12)  # the median of the turns
    later = tmp_path / "later.json"
    options = ["--parts", "model", "--speed-names", "tiny", "--measured", str(out)]
    study.main([*options, "--work", str(tmp_path), "--out", str(later)])
    before, after = (json.loads(path.read_text())["tiny"] for path in (out, later))
    assert after["checked"] == before["checked"]
    name = f"{before['pairs']:.0e} pairs, 10 Gbit/s"
    assert [row["driver"] for row in after["predicted"][name]] == [
        row["driver"] for row in before["predicted"][name]
    ]


def timed(n_workers, wall, n_pairs):
    return {
        **measured(n_workers, 5.0, 0.1),
        "pairs per wall second": n_pairs / wall,
        "pairs per CPU-second of the slowest": n_pairs / wall,
        "share in kernels": 0.9,
        "share in exchange": 0.05,
    }


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
        10**7, 1000, "likes", rows, {"driver": 1e-5, "worker": 1e-4, "byte": 1e-9}, sums=0.1
    )


def test_the_model_says_what_it_was_calibrated_on(model):
    assert model.epoch(1)["seconds"] == pytest.approx(10.15, abs=1e-3)  # beside objects
    said, row = model.epoch(2), 4 * (1 + study.N_DIMS + 1)
    assert said["kernels"] == pytest.approx(5)
    assert said["exchange"] == pytest.approx(0.3)
    assert said["objects"] == pytest.approx(2 * (1.5e-4 + row * 1e-6), abs=1e-4)
    # All items are drawn: each worker sends half of its changes, and half of the sums.
    assert said["bytes sent by a worker in a round"] == 1000 * row


def test_the_model_adds_networks_and_calls(model):
    slow, fast = (model.epoch(8, gbit) for gbit in (10, 100))
    n_bytes = slow["bytes sent by a worker in a round"]
    for said, gbit in ((slow, 10), (fast, 100)):
        in_network = 4 * (n_bytes / (gbit * study.GBIT) + 2 * study.LATENCY)
        assert said["network"] == pytest.approx(in_network, abs=1e-4)
        assert said["driver"] == pytest.approx(4 * 1.5 * 64 * 1e-5, abs=1e-4)
    assert fast["speed-up"] >= slow["speed-up"] > 1


def test_the_model_hides_what_is_exchanged_behind_the_kernels(model):
    """But for the last exchange before a state, once in four epochs."""
    said = model.epoch(8, 100)
    computing = said["kernels"] + said["exchange"] + said["objects"]
    assert said["network"] + said["driver"] < computing / 2
    left = (said["network"] + said["driver"]) / said["rounds per epoch"] / 4
    assert said["waiting"] == pytest.approx(left, abs=1e-4)
    assert said["seconds"] == pytest.approx(computing + left, abs=1e-3)
    # On a slow network a round takes as long as its parcels are under way.
    said = model.epoch(8, 0.001)
    under_way = said["network"] + said["driver"] + said["objects"] + 4 * 0.1
    assert under_way > said["kernels"] + said["exchange"] + said["objects"]
    left = (said["network"] + said["driver"]) / 4 / 4
    assert said["seconds"] == pytest.approx(under_way + left, rel=1e-3)


def test_who_combines_a_share_adds_up_what_all_changed(model):
    few, many = (model.epoch(512, 10, n_shares) for n_shares in (16, 32))
    assert few["driver"] == pytest.approx(4 * 1.5 * 512 * 16 * 1e-5, abs=1e-3)
    assert many["driver"] == pytest.approx(2 * few["driver"], abs=1e-3)
    assert few["exchange"] == pytest.approx(4 * (0.05 + 0.1 * 512 / 16))
    name = "bytes sent by a worker in a round"
    assert few[name] == pytest.approx(2 * many[name], abs=2)
    assert model.epoch(512, 10)["shares"] == default_shares(512, 1000, study.N_DIMS)


def test_the_number_of_shares_is_near_the_best_by_the_model():
    """With what was measured for the objects of Ray and for the sums of 41,000 items."""
    rows = {n: measured(n, 1.6 / n, 0.04) for n in (1, 2)}
    per_object = {"driver": 2.9e-5, "worker": 1.1e-4, "byte": 1.9e-9}
    for n_items in (40_000, 1_000_000):
        for row in rows.values():
            row[study.IN_EXCHANGE] = [0.04 * n_items / 40_000] * 2
        sums = 0.007 * n_items / 40_000
        model = study.RoundModel(10**9, n_items, "likes", rows, per_object, sums)
        chosen = model.epoch(512, 10)["seconds"]
        best = min(model.epoch(512, 10, n_shares)["seconds"] for n_shares in range(1, 513))
        assert chosen < 1.1 * best
