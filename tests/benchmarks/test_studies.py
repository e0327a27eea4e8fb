"""Tiny runs of the studies, with a clock that advances steadily and one that stands still."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.common import machine_speed, ranking
from benchmarks.common.in_flight import InFlightTrainer
from benchmarks.studies import (
    bulk,
    checks,
    cold_start,
    forgetting,
    hyperparameters,
    map_frames,
    maps,
    memory,
    pairs_in_flight,
    popularity,
    precision,
    reading,
    recency,
    reports,
    shared_negatives,
    shared_warp,
    stream,
    update_users,
    weights,
)
from cml_fast import Trainer
from cml_fast.data import load_interactions, split, synthetic

MADE = synthetic(300, 200, 6000, n_tastes=6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    likes = sp.coo_array(MADE.interactions.matrix)
    rows = [f"u{user},i{item}" for user, item in zip(likes.row, likes.col, strict=True)]
    path = tmp_path / "likes.csv"
    path.write_text("\n".join(["user,item", *rows]))
    return path


def result(monkeypatch: pytest.MonkeyPatch, module: Any, *arguments: object) -> dict[str, Any]:
    out = Path(str(arguments[0])) / "out.json"
    given = [str(argument) for argument in arguments[1:]]
    monkeypatch.setattr(sys, "argv", ["x", *given, "--out", str(out)])
    module.main()
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_shared_negatives(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, clock: bool
) -> None:
    found = result(
        monkeypatch, shared_negatives, tmp_path, "--names", file, "--n-dims", 8, "--rounds", 3
    )
    for update in ("sync", "async"):
        measured = found[f"likes.csv, {update}"]
        # Each measurement takes one step of the clock: speeds are as the numbers of pairs.
        pairs = {what: measured[f"{what}, pairs/s"]["median"] for what in ("shared", "unshared")}
        assert pairs["unshared"] == (2048 * 1024 if clock else math.inf)
        ratio = measured["shared / unshared"]["median"]
        assert ratio == pytest.approx(pairs["shared"] / 2048 / 1024) if clock else math.isnan(ratio)


def test_checks(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, clock: bool) -> None:
    """The clock advances by the same step for the checks and for the training."""
    found = result(monkeypatch, checks, tmp_path, "--names", file, "--rounds", 3)["likes.csv"]
    share = found["share of a fit, %"]
    assert share == pytest.approx(100) if clock else math.isnan(share)


def test_shared_warp(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, clock: bool
) -> None:
    """Without LightFM, with which there is nothing to compare."""
    monkeypatch.setattr(shared_warp, "why_absent", lambda _: "it is not here")
    arguments = ["--names", file, "--rounds", 1, "--seeds", 0, 1, "--evaluations", 3]
    arguments += ["--work", tmp_path / "work"]
    found = result(monkeypatch, shared_warp, tmp_path, *arguments)["likes.csv"]
    assert found.keys() == shared_warp.OURS.keys()
    for row in found.values():
        assert math.isfinite(row["pairs/s"]) == clock
        assert 0 < row["recall@50"] < 1 and row["deviation"] > 0
        assert row["evaluations"] == 3
    few = result(monkeypatch, shared_warp, tmp_path, *arguments, "--n-negatives", 1)
    assert few["n_negatives"] == 1
    for name, row in found.items():
        assert few["likes.csv"][name]["recall@50"] != row["recall@50"]
    seconds = [{"cpu_seconds": [1.0, 2.0], "recall": [0.2, 0.4]} for _ in range(2)]
    peer = [{"cpu_seconds": [2.0, 8.0], "recall": [0.1, 0.4]} for _ in range(2)]
    table = shared_warp.summary({"warp, sync": seconds, shared_warp.LIGHTFM: peer})
    assert table["warp, sync"]["seconds"] == 1.98  # to 99% of 0.4
    assert table[shared_warp.LIGHTFM]["seconds"] == 7.92


def test_pairs_in_flight(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--names", file, "--seeds", 0, 1, "--times", 1, 3, "--epochs", 3]
    found = result(monkeypatch, pairs_in_flight, tmp_path, *arguments)["likes.csv, softmax"]
    assert list(found) == ["sync", "one at a time", "1 x 1,024 pairs", "3 x 1,024 pairs"]
    for row in found.values():
        assert 0.2 < row["recall@20"] < row["recall@50"] < 1
        assert 0 <= row["recall@50 deviation"] < 0.2


def test_what_is_in_flight_adds_up() -> None:
    """One tile at a time is asynchronous training as it is; several tiles begin with the same."""
    likes = MADE.interactions.matrix[:40, :60]

    def vectors(kind: type[Trainer], in_flight: int | None = None) -> np.ndarray:
        options = {"temperature": 0.3, "user_retention": 1.0, "n_epochs": 2, "n_dims": 5}
        options |= {"popularity_weight": 0, "n_threads": 1}
        trainer = kind(update="async", device="cpu", verbose=False, **options)
        if in_flight is not None:
            trainer.in_flight = in_flight  # type: ignore[attr-defined]
        found: np.ndarray = trainer.fit(likes).model_.item_vectors
        return found

    alone = vectors(Trainer)
    np.testing.assert_allclose(vectors(InFlightTrainer, 128), alone, atol=1e-4)
    together = vectors(InFlightTrainer, 256)
    assert np.abs(together - alone).max() > 1e-3
    assert np.linalg.norm(together, axis=1).max() < 1 + 1e-5


def test_hyperparameters(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, clock: bool
) -> None:
    arguments = ["--names", file, "--vary", "n_dims", 16, 1, "--n-epochs", 5]
    arguments += ["--seeds", 0, 1, "--work", tmp_path / "work"]
    found = result(monkeypatch, hyperparameters, tmp_path, *arguments)
    many, one = found["summary"]["likes.csv"]
    assert (many["n_dims"], one["n_dims"]) == (16, 1) and many["deviation"] >= 0
    assert many["recall@50"] > one["recall@50"]  # on which six tastes have no place
    assert 1 <= many["epochs"] <= many["best_epoch"] <= 5

    def trained_again(*arguments: object) -> None:
        raise AssertionError("a finished training was repeated")

    monkeypatch.setattr(hyperparameters, "train", trained_again)
    again = result(monkeypatch, hyperparameters, tmp_path, *arguments)
    assert again["summary"] == found["summary"]
    options = [*arguments[:-1], tmp_path / "other work"]
    with pytest.raises(AssertionError, match="repeated"):
        result(monkeypatch, hyperparameters, tmp_path, *options)


@pytest.mark.parametrize("name", hyperparameters.STUDIES)
def test_the_settings_of_a_study_are_arguments_of_trainer(name: str) -> None:
    study = hyperparameters.STUDIES[name]
    labels = [hyperparameters.label(setting) for setting in study.settings]
    assert len(set(labels)) == len(labels) > 1
    for setting in study.settings:
        Trainer(**setting, n_epochs=1, verbose=False).fit(MADE.interactions)


def test_a_study_has_its_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        hyperparameters.arguments(["--study", "margin", "--vary", "margin", "1"])
    assert "either --study or --vary" in capsys.readouterr().err
    assert hyperparameters.varied_settings([["loss", "warp"], ["margin", "1", "1.5"]]) == [
        {"loss": "warp", "margin": 1},
        {"loss": "warp", "margin": 1.5},
    ]
    with pytest.raises(SystemExit, match="--vary needs an argument of Trainer"):
        hyperparameters.varied_settings([["no_such_argument", "1"]])


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux's /proc")
def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: bool) -> None:
    monkeypatch.setattr(memory, "ROWS", (100, 1000))
    monkeypatch.setattr(machine_speed, "MOST_CALLS", 2)
    size = ["--n-users", 5000, "--n-items", 2000, "--likes-per-user", 50, "--n-dims", 16]
    found = result(monkeypatch, memory, tmp_path, *size)
    assert [fit["pairs"] for fit in found["fits"]] == [250_000, 500_000]
    speeds = [speed for of in found["bandwidths"].values() for speed in of.values()]
    assert len(speeds) == 6 and all(math.isfinite(speed) == clock for speed in speeds)


def test_precision(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = ("contrastive", "shared_warp")
    arguments = ["--names", file, "--losses", *losses, "--n-epochs", 2, "--work", tmp_path / "work"]
    found = result(monkeypatch, precision, tmp_path, *arguments, "--seeds", 0, 1)["results"]
    assert tuple(found["likes.csv"]) == losses
    for metrics in found["likes.csv"].values():
        row = metrics["ndcg@20"]
        first, second = (
            rounded - exact for exact, rounded in zip(*row["values"].values(), strict=True)
        )
        assert row["largest difference"] == pytest.approx(max(abs(first), abs(second)))
        assert row["difference"] == pytest.approx((first + second) / 2, abs=2e-6)
        assert row["its error"] == pytest.approx(abs(first - second) / 2, abs=2e-6)
        assert 0 < row["largest difference"] < 0.1
        assert row["deviation"]["float32"] > 0
    alone = result(monkeypatch, precision, tmp_path, *arguments, "--seeds", 1)["results"]
    for loss, metrics in alone["likes.csv"].items():
        row, before = metrics["recall@50"], found["likes.csv"][loss]["recall@50"]["values"]
        assert row["values"] == {of: [values[1]] for of, values in before.items()}  # kept
        assert all(map(math.isnan, [row["its error"], *row["deviation"].values()]))


def test_popularity(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"temperature": 0.3, "user_retention": 1.0, "n_epochs": 2, "n_dims": 4}
    monkeypatch.setattr(popularity, "OF_OTHERS", settings)
    monkeypatch.setattr(popularity, "WEIGHTS", (0.0, 0.5, 1e6))
    monkeypatch.setattr(popularity, "SHARES", (0.0, 0.25))
    rows = result(monkeypatch, popularity, tmp_path, "--names", file)["results"]["likes.csv"]
    found = {(row["calibrated"], row["weight"]): row for row in rows}
    assert {(False, 0.0), (False, 0.5), (False, 1e6), (True, 0.0), (True, 0.075)} <= found.keys()
    assert [sum(row["chosen"] for row in rows if row["calibrated"] == c) for c in (0, 1)] == [1, 1]
    assert len(found) == len(rows) <= 7  # the weights that are chosen may be others
    none, little, all_popular = (found[False, weight] for weight in (0.0, 0.5, 1e6))
    assert none["recall@50"] != little["recall@50"]
    assert none["recall@50"] != found[True, 0.075]["recall@50"]
    # The largest weight ranks by the number of likes, and by distance only where that is equal:
    # the recall is between those of the worst and the best order of such items.
    train, validation, _ = split(load_interactions(file), (0.6, 0.2, 0.2), random_state=0)
    n_users, n_items = train.matrix.shape
    counts = np.bincount(train.matrix.indices, minlength=n_items)
    wanted = validation.matrix.toarray() != 0
    worst, best = (
        ranking.evaluate(
            ranking.Scores(
                np.eye(n_users, dtype=np.float32),
                (counts + among_equals * wanted).T.astype(np.float32),
            ),
            validation.matrix,
            train.matrix,
            (20,),
        ).recall[20]
        for among_equals in (-0.5, 0.5)
    )
    assert worst <= all_popular["recall@20"] <= best < none["recall@20"]


def test_reports(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, clock: bool) -> None:
    monkeypatch.setattr(
        reports, "TRAINING", {**reports.TRAINING, "n_epochs": 2, "temperature": 0.3}
    )
    found = result(monkeypatch, reports, tmp_path, "--names", file)["results"]["likes.csv"]
    assert (found["users"], found["items"]) == MADE.interactions.matrix.shape
    assert found["bytes"] > 20_000 and (found["CPU seconds"] > 0) is clock


def counted(rows: list[np.ndarray]) -> str:
    return "\n".join(" ".join(map(str, [len(row), *row])) for row in rows) + "\n"


def test_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that tell whom an item is for find what nobody has liked yet; chance does not."""
    folder = tmp_path / "citeulike-t"
    folder.mkdir()
    likes = MADE.interactions.matrix
    of_users = np.split(likes.indices, likes.indptr[1:-1])
    (folder / "users.dat").write_text(counted(of_users))
    rng = np.random.default_rng(0)
    items_of_tags = [
        np.flatnonzero((MADE.item_tastes == taste) & (rng.random(200) < 0.5))
        for taste in np.repeat(np.arange(6), 5)
    ]
    (folder / "tag-item.dat").write_text(counted(items_of_tags))
    (folder / "tags.dat").write_text("".join(f"tag{n}\n" for n in range(len(items_of_tags))))
    monkeypatch.setattr(cold_start, "K", 10)
    arguments = ["--folder", tmp_path, "--seeds", 0, 1]
    runs = result(monkeypatch, cold_start, tmp_path, *arguments)["runs"]
    # A run has only 20 items without likes.
    found = {method: np.mean([run[method] for run in runs]) for method in runs[0]}
    assert found["CML+F"] > 2 * found["by chance"]
    assert found["nearest tags"] > 2 * found["by chance"]


def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"n_users": 300, "n_items": 200, "n_interactions": 6000, "n_tastes": 6}
    monkeypatch.setattr(weights, "SIZE", size)
    monkeypatch.setattr(weights, "SETTINGS", {**weights.SETTINGS, "n_dims": 8, "n_epochs": 8})
    apart, taste = "apart from taste, 2.4", "taste, 2.4"
    arguments = ["--names", apart, taste, "--seeds", 0, 1, "--losses", "softmax"]
    found = result(monkeypatch, weights, tmp_path, *arguments)["results"]["softmax"]
    assert found[apart].keys() == found[taste].keys() == weights.CANDIDATES.keys()
    for rows in found.values():
        assert rows["linear"]["recall@10"] < 0.95 * rows["binary"]["recall@10"]
        assert rows["linear"]["spread of counts"] > 2
    # What the user thinks of an item shows in the counts, where they are of taste.
    assert found[taste]["binary"]["favourites@50"] > 1.1 * found[taste]["binary"]["recall@50"]
    ratio = found[apart]["binary"]["favourites@50"] / found[apart]["binary"]["recall@50"]
    assert 0.9 < ratio < 1.1


def test_the_weights_of_a_study() -> None:
    counts = sp.csr_array(np.array([[4, 1, 0, 1], [0, 0, 0, 0], [0, 9, 2, 0]], dtype=float))
    np.testing.assert_allclose(weights.ranks(counts), [3 / 4, 1.5 / 4, 1.5 / 4, 2 / 3, 1 / 3])
    # implicit's formula, of items x users.
    idf = np.log(4) - np.log1p([3, 0, 2])
    length = 0.2 + 0.8 * np.array([4, 10, 2, 1]) / 4.25
    expected = [
        counts[user, item] * 101 / (100 * length[item] + counts[user, item]) * max(idf[user], 1e-3)
        for user, item in [(0, 0), (0, 1), (0, 3), (2, 1), (2, 2)]
    ]
    np.testing.assert_allclose(weights.bm25(counts), expected)
    kept = weights.favourites(sp.csr_array(counts, dtype=np.float32)).toarray()
    np.testing.assert_array_equal(kept, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def test_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars", reason="polars is not installed")
    found = result(monkeypatch, reading, tmp_path, "--pairs", 3000)["results"]
    assert found.keys() == {".csv", ".parquet"}
    for readers in found.values():
        for name in reading.READERS:
            assert readers[name]["pairs"] == 3000
            assert readers[name]["peak GiB"] > 0


@pytest.mark.filterwarnings("ignore:OpenBLAS is configured to use")  # it is loaded already
def test_bulk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: bool) -> None:
    for package in ("faiss", "implicit"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    arguments = ["--users", 70, "--items", 3000, "--n", 5, "--rounds", 2]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(SystemExit, match="each search is to run on one core"):
        result(monkeypatch, bulk, tmp_path, *arguments)
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    (found,) = result(monkeypatch, bulk, tmp_path, *arguments)["results"]
    assert found["same items as faiss"] > 0.99
    # Each search takes one step of the clock.
    speeds = found["users per CPU-second"]
    assert set(speeds.values()) == {float(f"{70 * 1024:.4g}") if clock else math.inf}
    times = found["times the better of faiss and implicit"]
    assert times == 1 if clock else math.isnan(times)
    (found,) = result(monkeypatch, bulk, tmp_path, *arguments, "--whole")["results"]
    assert found["rows of the file"] == 70 * 5
    assert found["users per CPU-second"] == (70 * 1024 if clock else math.inf)


def test_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a browser and without openTSNE, which the benchmarks do not install."""
    monkeypatch.setattr(maps, "METHODS", ("pca",))
    monkeypatch.setattr(maps.chromium, "missing", lambda: None)
    monkeypatch.setattr(maps, "SAMPLE", 50)
    monkeypatch.setattr(maps, "N_USERS", 20)
    arguments = ["--data", "made-up", "--made-up", 400, "--work", tmp_path / "work"]
    found = result(monkeypatch, maps, tmp_path, *arguments)["results"]["made-up"]
    assert found["items"] == 400 and set(found) == {"items", "dims", "pca"}
    assert 30 / 400 < found["pca"]["kept"] <= 1
    assert found["pca"]["file in MB"] > 0.2


def test_maps_say_what_a_browser_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(maps.chromium, "missing", lambda: "chromium is not installed: apt-get ...")
    for study, arguments in ((maps, ["--work", tmp_path / "work"]), (map_frames, ["map.html"])):
        with pytest.raises(SystemExit, match="chromium is not installed"):
            result(monkeypatch, study, tmp_path, *arguments)


def test_the_best_round_of_frames_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("frames a second", "longest frame in ms", "CPU-ms of a frame")
    figures = iter([(20, 60, 9), (30, 50, 12), (7, 90, 8), (6, 80, 7)])
    monkeypatch.setattr(map_frames.chromium, "missing", lambda: None)
    monkeypatch.setattr(
        map_frames, "moved", lambda *_: {"drag, all": dict(zip(names, next(figures), strict=True))}
    )
    arguments = ["a.html", "b.html", "--rounds", 2]
    found = result(monkeypatch, map_frames, tmp_path, *arguments)["results"]
    best = {"a": (20, 60, 8), "b": (30, 50, 7)}
    assert found == {
        page: {"drag, all": dict(zip(names, values, strict=True))} for page, values in best.items()
    }


@pytest.fixture
def small_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"N_USERS": 120, "N_ITEMS": 60, "LIKES_A_DAY": 4}.items():
        monkeypatch.setattr(stream, name, value)
    monkeypatch.setattr(stream, "SETTINGS", {**stream.SETTINGS, "n_dims": 8})
    for module in (recency, forgetting, update_users):
        monkeypatch.setattr(module, "FIXED", {**stream.FIXED, "n_dims": 8})


def test_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: bool, small_stream: None
) -> None:
    options = ["--seeds", 1, "--days", 2, "--replay", 0, 1]
    drift = result(monkeypatch, stream, tmp_path, *options)["drift"]
    updates = {"4 epochs, replay 0", "4 epochs, replay 1"}
    names = {stream.RETRAINED, stream.CHOICES_KEPT, *updates}
    days = drift["after each day: mean over seeds, standard error"]
    assert days.keys() == names
    assert days[stream.RETRAINED] == {what: [[1, 0]] * 2 for what in stream.QUALITY}
    for name in names:
        assert all(share > 0.5 for share, _ in days[name]["recall"])
        shares = drift["shares of a retraining: mean, least, largest"][name]
        assert shares["recall"][0] > 0.5
        assert shares["cpu_seconds"][0] == 1 if clock else math.isnan(shares["cpu_seconds"][0])


def test_a_day_of_a_stream_is_compared_with_the_fit_of_that_day() -> None:
    def measured(*recalls: float) -> list[dict[str, float]]:
        return [{"recall": recall, "ndcg": 2 * recall} for recall in recalls]

    runs = [
        {stream.RETRAINED: measured(0.4, 0.5), "update": measured(0.36, 0.5)},
        {stream.RETRAINED: measured(0.5, 0.8), "update": measured(0.5, 0.8)},
    ]
    expected = [[0.95, 0.05], [1, 0]]
    assert stream.by_day(runs)["update"] == {"recall": expected, "ndcg": expected}


def test_users_of_a_stream_arrive_and_change() -> None:
    before, *days = stream.drifting(0, 3, Path())
    known = set(before.new.user_ids.tolist())
    for day in days:
        assert set(day.new.user_ids.tolist()) - known  # somebody new on every day
        known |= set(day.new.user_ids.tolist())
    assert len(days) == 3
    assert len(days[0].new.user_ids) < stream.N_USERS / 2


def test_forgetting(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, small_stream: None
) -> None:
    monkeypatch.setattr(forgetting, "EPOCHS", (0, 8))
    found = result(monkeypatch, forgetting, tmp_path, "--data", file, "--seeds", 1)
    rows = found["mean, least, largest"]
    left = [rows[f"forgotten, {n} epochs"]["above never seen"][0] for n in (0, 8)]
    assert left[0] > left[1] and rows["never seen"]["above never seen"][0] == 0


@pytest.mark.filterwarnings("ignore:.*interactions were dropped")
def test_recency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_stream: None) -> None:
    monkeypatch.setattr(recency, "DATA", {"drift": recency.by_day})
    monkeypatch.setattr(recency, "HALF_LIVES", {"drift": [2.0]})
    monkeypatch.setattr(recency, "REPEATS", {"drift": 1})
    found = result(monkeypatch, recency, tmp_path)
    rows = found["half-lives: mean; as a share of none: mean, least, largest"]["drift"]
    assert rows["none"]["recall"][1:] == [1, 1, 1]
    assert rows["2 days"]["ndcg"][0] != rows["none"]["ndcg"][0]


def test_update_users(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, small_stream: None
) -> None:
    monkeypatch.setattr(update_users, "DATA", {str(file): (0.3, 3)})
    for name, value in {"N_USERS": (50,), "N_ITEMS": 100, "PASSES": (1, 20)}.items():
        monkeypatch.setattr(update_users, name, value)
    found = result(monkeypatch, update_users, tmp_path)["recall, and ms a user"][str(file)]
    assert found["20 passes"][0] > 0.5 * found["trained"]
