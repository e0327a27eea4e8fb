"""The comparison of recommenders: its rankings, and a tiny run of all of it."""

import argparse
import json
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy import measurement, tuning
from benchmarks.accuracy import summary as accuracy_summary
from benchmarks.common import datasets, ranking
from benchmarks.recommenders import (
    ALL,
    Data,
    Recommender,
    cml_fast_models,
    versions,
    why_absent,
)
from benchmarks.recommenders.popularity_and_ease import ease
from cml_fast import Model
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

LIKES = synthetic(80, 60, 1100, random_state=2).interactions.matrix


def parts():
    rng = np.random.default_rng(0)
    kept = rng.random(LIKES.nnz) < 0.7
    train, test = LIKES.copy(), LIKES.copy()
    train.data, test.data = kept.astype(np.float32), (~kept).astype(np.float32)
    train.eliminate_zeros()
    test.eliminate_zeros()
    return train, test


def test_scores_of_distances_are_judged_as_a_model_is():
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(80, 5)), rng.normal(size=(60, 5))
    train, test = parts()
    wanted = evaluate(Model(users, items), test, exclude=train, ks=(5, 20, 90))
    found = ranking.evaluate(ranking.Scores.of_distances(users, items), test, train, (5, 20, 90))
    np.testing.assert_array_equal(found.users, wanted.users)
    for k in (5, 20, 90):
        np.testing.assert_allclose(found.per_user["recall"][k], wanted.per_user["recall"][k])
        np.testing.assert_allclose(found.per_user["ndcg"][k], wanted.per_user["ndcg"][k])


def test_equal_scores_are_ranked_in_the_order_of_the_items():
    scores = ranking.Scores(np.ones((1, 1)), np.array([[1.0], [2], [2], [2], [0]]))
    wanted = sp.csr_array(np.array([[1, 0, 1, 1, 0]]))
    exclude = sp.csr_array(np.array([[0, 0, 0, 0, 1]]))
    np.testing.assert_array_equal(ranking.places(scores, wanted, exclude), [3, 1, 2])
    exclude = sp.csr_array(np.array([[0, 1, 0, 0, 0]]))
    np.testing.assert_array_equal(ranking.places(scores, wanted, exclude), [2, 0, 1])


def test_ease_is_steck_s_closed_form():
    """That inverts a matrix of items (equation 8), which minimises |X - X B|^2 + weight |B|^2
    among matrices with a zero diagonal."""
    train, _ = parts()
    x, weight = train.toarray().astype(np.float64), 3.0
    p = np.linalg.inv(x.T @ x + weight * np.eye(60))
    b = np.eye(60) - p / np.diag(p)
    np.testing.assert_allclose(np.diag(b), 0, atol=1e-12)
    scores = next(ease(Data(train), {"weight": weight}, 0))
    np.testing.assert_allclose(scores.users @ scores.items.T.toarray(), x @ b - x, atol=1e-5)


def test_the_most_popular_come_first():
    train, _ = parts()
    scores = next(ALL["most popular"].train(Data(train), {}, 0))
    one = sp.csr_array(np.ones((1, 60)))
    places = ranking.places(scores, one, sp.csr_array((1, 60)))
    counts = np.bincount(train.indices, minlength=60)
    assert (np.diff(counts[np.argsort(places)]) <= 0).all()
    assert sorted(places) == list(range(60))


@pytest.mark.filterwarnings("ignore")  # of others' packages
@pytest.mark.parametrize("name", sorted(set(ALL) - {"EASE"}))  # which leaves those out
def test_peers_learn(name):
    """What they were given comes first, to show that rows and columns are not mixed up."""
    if (reason := why_absent(ALL[name])) is not None:
        pytest.skip(reason)
    if ALL[name].package == "tensorflow":  # which does not bear PyTorch in its process
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            recall = process.submit(recall_of_what_it_learnt, name).result()
    else:
        recall = recall_of_what_it_learnt(name)
    assert recall > 1.2 * 10 / 60


def recall_of_what_it_learnt(name):
    peer, (train, _) = ALL[name], parts()
    features = sp.csr_array(train.T) if peer.with_features else None
    settings = dict(peer.first)
    if name == "CDL (Cornac)":  # makes one step an epoch with so few items
        settings["max_iter"] = 100
    if "n_hidden" in settings:  # more than these data need
        settings["n_hidden"] = 64
    epochs = peer.train(Data(train, features), settings, 0)
    for _ in range(0, peer.n_epochs, peer.every):
        scores = next(epochs)
    epochs.close()
    return ranking.evaluate(scores, train, sp.csr_array(train.shape), (10,)).recall[10]


def likes_file(folder):
    file = folder / "likes.csv"
    coo = sp.coo_array(LIKES)
    rows = [f"u{user},i{item}" for user, item in zip(coo.row, coo.col, strict=True)]
    file.write_text("\n".join(["user,item", *rows]))
    return file


@pytest.mark.slow  # a new process for each row, twice
def test_a_tiny_run_goes_on_where_it_ended(tmp_path, monkeypatch, capfd):
    pytest.importorskip("optuna", reason="the comparison needs optuna: pip install cml-fast[bench]")
    rows = ["most popular", "EASE", "CML, softmax"]
    arguments = ["--data", str(likes_file(tmp_path)), "--trials", "2", "--seeds", "0", "1"]
    arguments += ["--max-epochs", "3", "--work", str(tmp_path / "work"), "--rows", *rows]
    outs, written = [], []
    for n in range(2):
        out = tmp_path / f"{n}.json"
        monkeypatch.setattr(sys, "argv", ["accuracy", *arguments, "--out", str(out)])
        accuracy.main()
        outs.append(json.loads(out.read_text()))
        trained = capfd.readouterr().err.count("CML, softmax: {")
        assert trained == (2 if n == 0 else 0)
        tests = sorted((tmp_path / "work").glob("*.json"))
        written.append([path.stat().st_mtime_ns for path in tests])
    assert len(written[0]) == 6 and written[0] == written[1]
    one, two = (out["results"]["likes.csv"] for out in outs)
    assert one["rows"] == two["rows"]
    assert list(one["rows"]) == rows[::-1]  # begun in this order
    assert one["compared"]["CML, softmax"]["against"] in rows[:2]
    for row in one["rows"].values():
        assert row["seeds"] == [0, 1] and len(row["recall@50"]) == len(row["epochs"]) == 2
    assert "per_user" not in (tmp_path / "0.json").read_text()
    assert one["rows"]["EASE"]["settings"].keys() == {"weight"}

    # Only one row anew, in a folder without what the others left; the rest is of the first run.
    arguments[-3:] = ["CML, softmax"]
    arguments[arguments.index("--work") + 1] = str(tmp_path / "anew")
    out = tmp_path / "updated.json"
    arguments += ["--update", str(tmp_path / "0.json"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
    accuracy.main()
    updated, seconds = json.loads(out.read_text())["results"]["likes.csv"], {"seconds": None}
    assert updated["kept"] == {"from": outs[0]["date"], "rows": ["EASE", "most popular"]}
    assert list(updated["rows"]) == rows[::-1]
    assert updated["compared"] == one["compared"]
    for row in rows:
        assert updated["rows"][row] | seconds == one["rows"][row] | seconds
    again = sorted(path.name for path in (tmp_path / "anew").glob("*.json"))
    assert len(again) == 4  # ours and the best peer, for each seed


def test_gowalla_comes_split_and_is_tested_again_only_where_a_seed_matters(tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="the comparison needs optuna: pip install cml-fast[bench]")
    (tmp_path / "gowalla").mkdir()
    for part, likes in zip(("train", "valid", "test"), split(LIKES), strict=True):
        lines = [
            " ".join(map(str, [user, *likes.indices[start:end]]))
            for user, (start, end) in enumerate(pairwise(likes.indptr))
        ]
        (tmp_path / "gowalla" / f"{part}.txt").write_text("\n".join(lines))
    trained = []

    def train(data, settings, seed):
        trained.append((data.likes.nnz, seed))
        yield from cml_fast_models.train(data, {"loss": "warp"}, seed)

    drawing = replace(ALL["CML, defaults"], train=train)
    monkeypatch.setitem(ALL, "CML, defaults", drawing)
    args = argparse.Namespace(
        folder=tmp_path, work=tmp_path, trials=1, seeds=[4, 5], max_epochs=1, jobs=1
    )
    parts = measurement.Split("gowalla", tmp_path, 0)
    whole = parts.train.nnz + parts.validation.nnz
    tested = {
        row: measurement.measure("gowalla", row, args)["test"] for row in ("EASE", drawing.name)
    }
    assert [run["seed"] for run in tested["EASE"]] == [4]
    assert [run["seed"] for run in tested[drawing.name]] == [4, 5]
    assert trained == [(parts.train.nnz, 0), (whole, 4), (whole, 5)]


def test_other_likes_of_that_name_and_other_epochs_do_not_count_as_done(tmp_path):
    file, whole = likes_file(tmp_path), argparse.Namespace(max_epochs=sys.maxsize)
    before = measurement.work_label(str(file), whole)
    assert before == measurement.work_label(str(file), whole) and before.startswith("likes.csv")
    assert measurement.work_label(str(file), argparse.Namespace(max_epochs=3)) != before
    file.write_text(file.read_text() + "\nu1,i1")
    assert measurement.work_label(str(file), whole) != before
    assert measurement.work_label("gowalla", whole) == "gowalla"


def test_rows_that_cannot_run_are_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    parts = measurement.Split(str(likes_file(tmp_path)), tmp_path, 0)
    monkeypatch.setattr("benchmarks.recommenders.find_spec", lambda name: None)
    rows, left_out = accuracy.rows_of(None, parts)
    assert "EASE" in rows and "CML, softmax" in rows
    assert "no features" in left_out["CML+F, softmax"]
    assert "pip install" in left_out["WRMF (implicit)"]
    assert set(rows) | set(left_out) == set(ALL)
    assert "WRMF (implicit) is left out: implicit is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", "'nonsense' is neither a file of likes nor one of citeulike-t, gowalla"),
        (datasets.AS_PUBLISHED, r"no folder .*citeulike-t; --folder names the one it is in"),
    ],
)
def test_data_that_are_not_there_are_said_before_anything_is_measured(
    name, words, tmp_path, monkeypatch, capsys
):
    assert re.search(words, datasets.why_absent(name, tmp_path))
    work = tmp_path / "work"
    arguments = ["--data", str(likes_file(tmp_path)), name, "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments, "--work", str(work)])
    with pytest.raises(SystemExit, match="2"):
        accuracy.main()
    assert re.search(words, capsys.readouterr().err) and not work.exists()
    with pytest.raises(SystemExit, match=words):
        datasets.load(name, tmp_path)


def test_versions_are_told_of_what_is_there_lightfm_in_its_own_python(monkeypatch):
    monkeypatch.setattr("benchmarks.recommenders.lightfm_models.version", lambda: "1.17")
    told = versions(["numpy", "lightfm", "a package that is not there"])
    assert told == {"numpy": np.__version__, "lightfm": "1.17"}
    assert versions(["numpy"]) == {"numpy": np.__version__}


def test_rows_that_were_measured_replace_those_of_an_earlier_result():
    earlier = {
        "k": 20,
        "rows": {"CML, softmax": {"old": 1}, "WARP (LightFM)": {"old": 2}, "EASE": {"old": 3}},
        "left_out": {"WRMF (implicit)": "no implicit there"},
        "compared": {"CML, softmax": {"against": "EASE"}},
    }
    result = {
        "k": 20,
        "rows": {"WRMF (implicit)": {"new": 4}, "CML, softmax": {"new": 5}},
        "left_out": {"WARP (LightFM)": "no LightFM here", "BPR (LightFM)": "no LightFM here"},
        "compared": {"CML, softmax": {"against": "WRMF (implicit)"}},
    }
    found = accuracy_summary.with_earlier_rows(result, earlier, "2026-11-01")
    assert found == {
        "k": 20,
        "rows": {
            "CML, softmax": {"new": 5},
            "WARP (LightFM)": {"old": 2},
            "WRMF (implicit)": {"new": 4},
            "EASE": {"old": 3},
        },
        "kept": {"from": "2026-11-01", "rows": ["WARP (LightFM)", "EASE"]},
        "left_out": {"BPR (LightFM)": "no LightFM here"},
        "compared": {"CML, softmax": {"against": "WRMF (implicit)"}},
    }
    assert list(found["rows"]) == [row for row in reversed(ALL) if row in found["rows"]]


@pytest.mark.parametrize(
    ("measured", "peers"),
    [
        (["CML, softmax"], ["EASE"]),
        (["CML+F, softmax"], ["hybrid WARP (LightFM)"]),
        (["CML, softmax", "CML+F, softmax"], ["EASE", "hybrid WARP (LightFM)"]),
        (["CML, softmax", "EASE"], ["most popular"]),
    ],
)
def test_the_best_peer_of_an_earlier_result_is_tested_again(measured, peers):
    recalls = {"CML, softmax": 0.9, "EASE": 0.3, "most popular": 0.1, "hybrid WARP (LightFM)": 0.4}
    rows = {row: {"recall@50": [recall, recall]} for row, recall in recalls.items()}
    assert accuracy_summary.best_peers(rows, "recall@50", measured) == peers


def test_users_are_compared_by_their_mean_over_the_seeds():
    nan = float("nan")
    rows = {
        "EASE": {"test": [{"per_user": [0.1, nan, nan, 0.2]}, {"per_user": [0.3, nan, 0.5, 0.4]}]},
        "CML, softmax": {
            "test": [{"per_user": [0.5, nan, nan, 0.6]}, {"per_user": [0.5, nan, 0.4, 0.6]}]
        },
    }
    found = accuracy_summary.compare_with_best_peer(rows)["CML, softmax"]
    assert found["against"] == "EASE" and found["users"] == 3
    assert found["difference"] == pytest.approx((0.3 - 0.1 + 0.3) / 3)
    assert (found["better"], found["worse"]) == (2, 1)


def test_nobody_is_better_or_worse_by_rounding_alone():
    seeds = [[1 / 3, 2 / 3, 0.9], [1 / 3, 2 / 3, 0.2], [2 / 3, 0, 0.7]]
    rows = {
        "EASE": {"test": [{"per_user": [4 / 9, 4 / 9, 0.6]}]},
        "CML, softmax": {"test": [{"per_user": [round(x, 6) for x in users]} for users in seeds]},
    }
    found = accuracy_summary.compare_with_best_peer(rows)["CML, softmax"]
    assert (found["better"], found["worse"], found["difference"], found["p"]) == (0, 0, 0.0, 1.0)


class Peers:
    """Stand-ins whose recall is what the settings say, epoch by epoch."""

    trained = None

    @staticmethod
    def train(data, settings, seed):
        scores = ranking.Scores(np.zeros((1, 1)), np.ones((1, 1)))  # which change later
        for value in settings["curve"]:
            Peers.trained.append(value)
            scores.users[0, 0] = value
            yield scores

    @staticmethod
    def peer(curves):
        search = {"search": lambda trial: {"curve": curves[trial.number]}, "first": {"curve": 0}}
        return Recommender("stand-in", None, Peers.train, n_epochs=50, **search)


def watch(scores):
    return float(scores.users[0, 0])


def test_training_stops_when_recall_has_not_risen():
    curve = [0.1, 0.3, *[0.2] * 20]
    peer, Peers.trained = Peers.peer([]), []
    fitted = tuning.fit(peer, None, {"curve": curve}, 0, watch, 50)
    assert (fitted.epochs, fitted.recall) == (2, 0.3)
    assert len(Peers.trained) == 2 + tuning.PATIENCE
    assert watch(fitted.scores) == 0.3
    assert watch(tuning.fit_for(peer, None, {"curve": curve}, 0, 3)) == 0.2


@pytest.mark.parametrize("n_first", [1, 3])
def test_the_best_of_the_trials_is_chosen_also_when_some_were_done_before(tmp_path, n_first):
    pytest.importorskip("optuna", reason="the comparison needs optuna: pip install cml-fast[bench]")
    curves = [[0.1, 0.2], [0.1, 0.5, 0.3], [0.4]]
    peer, Peers.trained = Peers.peer(curves), []
    for n_trials in (n_first, 3, 3):
        chosen = tuning.choose("a study", tmp_path / "log", peer, None, watch, n_trials, 50)
    assert (chosen["trials"], chosen["recall"], chosen["first_recall"]) == (3, 0.5, 0.2)
    assert chosen["settings"] == {"curve": curves[1]} and chosen["epochs"] == 2
    assert len(Peers.trained) == 6


def test_the_first_trial_is_of_known_settings(tmp_path):
    pytest.importorskip("optuna", reason="the comparison needs optuna: pip install cml-fast[bench]")
    peer = Recommender(
        "stand-in",
        None,
        Peers.train,
        lambda trial: {"curve": [trial.suggest_float("x", 0, 1)]},
        {"x": 0.125},
    )
    Peers.trained = []
    chosen = tuning.choose("a study", tmp_path / "log", peer, None, watch, 3, 1)
    assert chosen["first_recall"] == 0.125 == Peers.trained[0]
    assert chosen["recall"] == max(Peers.trained)
