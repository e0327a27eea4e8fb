"""The top-K benchmark: what it searches with, how it judges, and a tiny run of all of it."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.common import ranking
from benchmarks.report.figures import Figures
from benchmarks.report.topk_section import section
from benchmarks.report.topk_section import summary as readme_rows
from benchmarks.topk import __main__ as topk
from benchmarks.topk import indexes, queries, trained_vectors
from benchmarks.topk import summary as topk_summary
from cml_fast import Model

pytest.importorskip("threadpoolctl", reason="one thread takes threadpoolctl: cml-fast[bench]")


def available(name):
    library = indexes.ALL[name]
    if library.package is not None:
        pytest.importorskip(library.package, reason="pip install cml-fast[bench]")
    return library


def made_up(m=40, n_items=300, r=8):
    rng = np.random.default_rng(0)
    model = Model(rng.normal(size=(m, r)), rng.normal(size=(n_items, r)))
    had = sp.random_array((m, n_items), density=0.1, rng=rng, format="csr", dtype=np.float32)
    wanted = sp.random_array((m, n_items), density=0.1, rng=rng, format="csr", dtype=np.float32)
    return queries.Questions(model, np.arange(m), had, wanted)


def best_first(questions, row, k):
    """By the definition: a full sort of the distances, without what the user has had."""
    items = questions.model.item_vectors.astype(np.float64)
    distances = np.linalg.norm(items - questions.model.user_vectors[row], axis=1)
    distances[questions.had[[row]].indices] = np.inf
    return np.argsort(distances)[:k]


def test_nearest_points_have_the_largest_products():
    rng = np.random.default_rng(0)
    users, items = (
        rng.normal(size=(20, 6)),
        rng.normal(size=(50, 6)) * rng.exponential(size=(50, 1)),
    )
    points = ranking.points_of_products(users, items)
    distances = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    assert points[1].shape == (50, 7) and not points[0][:, 6].any()
    np.testing.assert_array_equal(np.argsort(distances), np.argsort(-users @ items.T))


@pytest.mark.parametrize("name", [name for name, library in indexes.ALL.items() if library.exact])
def test_exact_search_returns_the_nearest_that_were_not_had(name):
    questions = made_up(n_items=5000)  # few would be sorted where they are only to be parted
    library = available(name)
    search = library.build(questions.model, questions.had, library.builds[0]).searcher({})
    for row in questions.users:
        np.testing.assert_array_equal(search(int(row), 10), best_first(questions, row, 10))


@pytest.mark.parametrize("name", indexes.ALL)
def test_every_setting_finds_most_neighbours_and_nothing_that_was_had(name):
    """With few items even the first settings see a good part of them; the last ones nearly all."""
    questions = made_up(n_items=1200)
    library = available(name)
    for build in library.builds:
        index = library.build(questions.model, questions.had, build)
        assert index.info["kind"] == ("exact" if name == "auto" else library.kind)
        assert index.n_bytes > 0
        for search, least in ((library.searches[0], 0.1), (library.searches[-1], 0.9)):
            shared = 0
            for row in questions.users:
                found = index.searcher(search)(int(row), 10)
                assert len(set(found.tolist())) == 10
                assert not np.isin(found, questions.had[[row]].indices).any()
                shared += np.isin(found, best_first(questions, row, 10)).sum()
            assert shared >= least * 10 * len(questions.users)


def test_ways_are_asked_in_turn_each_for_its_users(steady_clock):
    questions = made_up()
    nearest = indexes.ALL["exact"].build(questions.model, questions.had, {}).searcher({})
    asked = []

    def noting(name):
        def search(row, k):
            asked.append(name)
            return nearest(row, k)

        return search

    found = queries.in_turn({"a": (noting("a"), 4), "b": (noting("b"), 1)}, questions, 5)
    assert asked[2 * queries.WARM_UP :] == (["a"] * 2 + ["b"] * 8) * queries.ROUNDS
    assert [len(found[name].wall) for name in "ab"] == [10, 40]
    for row in range(40):
        np.testing.assert_array_equal(found["b"].ranked[row], best_first(questions, row, 5))
    times = queries.times(found["b"])
    assert times["us_median"] == times["us_mean"] == 1e6 / 1024  # one step of the clock
    assert times["us_cpu"] == 1e6 / 1024 / 8  # one step for the eight users of a part


def test_recall_and_overlap():
    wanted = sp.csr_array([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float32)
    ranked = np.array([[0, 2], [2, -1]])
    np.testing.assert_allclose(queries.recalls(ranked, wanted, 2), [0.5, 0])
    assert queries.overlap(ranked, np.array([[2, 3], [2, -1]])) == pytest.approx(2 / 3)


def test_the_frontier_and_the_fastest_of_it():
    def point(loss, speedup, error=0.0):
        return {"loss": loss, "loss_error": error, "speedup": speedup}

    points = [point(0.3, 90), point(0.0, 5), point(0.01, 4), point(0.02, 7), point(0.02, 20)]
    points += [point(0.3, 80), point(0.5, 90)]
    assert topk_summary.frontier(points) == [point(0.0, 5), point(0.02, 20), point(0.3, 90)]
    assert topk_summary.fastest(points) == point(0.02, 20)
    assert topk_summary.fastest([point(0.01, 3, 0.01), point(-0.2, 9, 0.3)]) == point(0.01, 3, 0.01)
    assert topk_summary.fastest(points[:1]) is None


def test_vectors_are_trained_once(tmp_path, monkeypatch):
    arguments = ("synthetic", "CML", 0.001, tmp_path, tmp_path)
    first = trained_vectors.trained(*arguments)

    def again_trained(train, settings):
        raise RuntimeError("trained again")

    monkeypatch.setitem(trained_vectors.MODELS, "CML", again_trained)
    again = trained_vectors.trained(*arguments)
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.users, first.users)
    np.testing.assert_array_equal(again.items, first.items)
    monkeypatch.setitem(trained_vectors.SETTINGS, ("synthetic", "CML"), {"n_dims": 3})
    with pytest.raises(RuntimeError, match="trained again"):
        trained_vectors.trained(*arguments)


def test_a_tiny_run_goes_on_where_it_ended_and_is_shown(tmp_path, monkeypatch, capsys, clock):
    """Without what is not installed: that is left out, and the reason is kept."""
    monkeypatch.setitem(
        indexes.ALL,
        "nothing",
        replace(indexes.ALL["Annoy"], name="nothing", package="no_such_package"),
    )
    arguments = ["--quick", "--scale", "0.004", "--users", "50", "--work", str(tmp_path / "work")]
    records = []
    for n in range(2):
        out = tmp_path / f"{n}.json"
        monkeypatch.setattr(sys, "argv", ["topk", *arguments, "--out", str(out)])
        topk.main()
        records.append(json.loads(out.read_text()))
        errors = capsys.readouterr().err
        assert errors.count("measuring synthetic") == (0 if n else len(measured_files(tmp_path)))
        assert "nothing is left out: no_such_package is not installed" in errors
        monkeypatch.setattr(trained_vectors, "likes", None)  # not even the data are needed again
    first, second = records
    assert json.dumps(first["results"]) == json.dumps(second["results"])  # NaN is not NaN
    assert "nothing" in first["left_out"]
    assert "--work" not in first["command"]
    check_summary(first, clock)

    text = section(first, Figures(tmp_path / "page.md", tmp_path / "figures"))
    assert text.startswith("## Top-K: ")
    assert "- synthetic, K = 10: " in text
    assert (tmp_path / "figures" / "topk-synthetic-50.png").exists()


def measured_files(tmp_path):
    return list((tmp_path / "work").glob("*.json"))


def check_summary(record, clock):
    models = record["results"]["synthetic"]
    assert list(models) == ["CML"]  # MF is for real data
    for result in models.values():
        assert result["exact"]["users_asked"] == 50
        for k in (10, 50):
            recall = result["exact"][f"recall@{k}"]
            for found in result[f"libraries@{k}"].values():
                losses, speedups = zip(*found["frontier"], strict=True)
                assert list(losses) == sorted(losses)
                assert all(math.isfinite(speedup) == clock for speedup in speedups)
                best = found["fastest"]
                if best is not None:
                    assert best["loss"] == pytest.approx(1 - best["recall"] / recall)
                    assert best["loss"] + best["loss_error"] <= topk_summary.ALLOWED_LOSS
                    assert best["bytes"] > 0 and best["overlap"] > 0.5


def made_up_result(speedup, us_cpu):
    """Measurements on the vectors of one model, as they are before they are summarised."""
    points = [
        {"build": {"m": 8}, "search": {"ef": ef}, "k": 10, "loss": loss, "loss_error": 0.0}
        for ef, loss in ((10, 0.3), (40, 0.01), (80, 0.0))
    ]
    for point, factor in zip(points, (2.0, 1.0, 0.5), strict=True):
        point |= {"speedup": factor * speedup, "us_cpu": us_cpu / factor}
        point["speedup_over"] = {"exact": factor * speedup, "faiss Flat": factor * speedup / 4}
        point |= {"us_mean": 7.0, "us_median": 6.0, "overlap": 0.9, "recall": 0.2}
    lost = [{**points[0], "k": 50, "loss": loss} for loss in (0.2, 0.123)]
    exact = {
        "data": {"users": 9, "items": 8, "likes": 7},
        "users_asked": 5,
        "bytes": {"exact": 1, "faiss Flat": 1},
        "batch": {"us_cpu": 3.0, "us_mean": 2.0},
        "recall@10": 0.2,
        "recall@50": 0.3,
    }
    for k in (10, 50):
        exact[f"single@{k}"] = {
            "exact": {"us_cpu": 200.0, "us_mean": 1, "us_median": 1},
            "faiss Flat": {"us_cpu": 100.0, "us_mean": 1, "us_median": 1},
        }
    build = {"build": {"m": 8}, "seconds": 1.25, "cpu_seconds": 1.5, "bytes": 2e6}
    builds = [{**build, "info": {"kind": "annoy"}}]
    chosen = {**build, "build": {}, "info": {"kind": "toy", "search": {"ef": 9}, "recall": 0.987}}
    own = [{**points[0], "build": {}, "search": {}, "k": k} for k in (10, 50)]
    libraries = {
        "auto": {"builds": [chosen], "points": own},
        "Annoy": {"builds": builds, "points": points + lost},
    }
    return topk_summary.summary({"settings": {}, "exact": exact, "libraries": libraries})


def test_a_summary_has_the_fastest_setting_and_the_frontier():
    found = made_up_result(20.0, 5.0)
    annoy = found["libraries@10"]["Annoy"]
    assert annoy["frontier"] == [[0.0, 10.0], [0.01, 20.0], [0.3, 40.0]]
    assert annoy["fastest"]["search"] == {"ef": 40} and annoy["fastest"]["build_seconds"] == 1.25
    assert annoy["least_loss"] == 0.0 and "automatic" not in annoy
    auto = found["libraries@10"]["auto"]
    assert auto["fastest"] is None and auto["automatic"]["info"]["kind"] == "toy"
    assert found["libraries@50"]["Annoy"]["fastest"] is None
    assert found["libraries@50"]["Annoy"]["least_loss"] == 0.123


def test_the_words_follow_the_numbers(tmp_path):
    record = {
        "date": "2026-11-26",
        "command": "python -m benchmarks.topk",
        "machine": {"processor": "a processor", "cores": 2, "python": "3.12", "numpy": "2.4"},
        "build_threads": 2,
        "allowed_loss": 0.02,
        "wish": 0.98,
        "left_out": {},
        "results": {"gowalla": {"CML": made_up_result(212, 5), "MF": made_up_result(53, 20)}},
    }
    figures = Figures(tmp_path / "page.md", tmp_path / "figures")
    text = section(record, figures)
    assert (
        "- gowalla, K = 10: not reached, 50% of 106. The best is 53 times over the faster exact "
        "search, faiss Flat (Annoy, loss 1.0% ± 0.0%). With MF the best is 13 times; the faster "
        "query is that of "
        "CML: CML 5 µs, MF 20 µs." in text
    )
    assert (
        "K = 50: not reached: no setting of any library loses 2% or less. With MF, none does."
        in text
    )
    assert (
        "- gowalla, CML: 424 times as fast as exact search, or 106 times over faiss Flat; 90.0% of "
        "its items found. The index reports a recall of 0.987 (kind toy, ef 9) and took 1.2 "
        "seconds to build, set and save." in text
    )
    assert "| Annoy, K = 10 | 212 | 53 | 5 |" in text
    assert "| m 8, ef 40 | 1.2 | 2 |" in text
    assert "| Annoy, K = 50 | none |  |  |  |  | 12.3% at least |" in text
    ((what, ours, theirs),) = readme_rows(record)
    assert what == (
        "µs of an approximate top-10 query, with at most 2% less recall than exact search, gowalla"
    )
    assert (ours, theirs) == ("**5 (CML, Annoy)**", "20 (MF, Annoy)")
    del record["results"]["gowalla"]["MF"]
    assert "With MF" not in section(record, figures)
    assert readme_rows(record) == []
