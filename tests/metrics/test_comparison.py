"""Comparisons: paired intervals and tests, and what is printed."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from cml_fast import Model
from cml_fast.baselines import ItemKNN, MostPopular, RandomItems
from cml_fast.comparison import compare, holm
from cml_fast.data import split, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate

REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text())
TRAIN, TEST = split(synthetic(150, 60, 2250, random_state=1).interactions, (0.8, 0.2))
MODELS = {"popular": MostPopular(TRAIN), "kNN": ItemKNN(TRAIN), "random": RandomItems(TRAIN)}


def test_evaluations_are_those_of_evaluate():
    found = compare(MODELS, TEST, TRAIN, ks=(5, 10), baseline="popular")
    for name, model in MODELS.items():
        assert found.to_dict()[name] == evaluate(model, TEST, TRAIN, ks=(5, 10)).to_dict()
    assert [(row["metric"], row["k"], row["model"]) for row in found.rows] == [
        (metric, k, name) for metric in ("recall", "ndcg") for k in (5, 10) for name in MODELS
    ]
    for row in found.rows:
        evaluation = found.evaluations[row["model"]]
        assert row["mean"] == evaluation.means(row["metric"])[row["k"]]
        assert (row["low"], row["high"]) == pytest.approx(
            evaluation.intervals(row["metric"])[row["k"]]
        )


def test_differences_and_tests_by_scipy():
    found = compare(MODELS, TEST, TRAIN, ks=(5,), baseline="popular", n_resamples=5000)
    p_values = []
    for row in found.rows:
        if row["model"] == "popular":
            assert row["difference"] is row["p"] is row["difference_low"] is None
            continue
        ours, theirs = (
            found.evaluations[name].per_user[row["metric"]][5] for name in (row["model"], "popular")
        )
        assert row["difference"] == pytest.approx((ours - theirs).mean())
        expected = stats.bootstrap((ours - theirs,), np.mean, method="percentile")
        ends = (row["difference_low"], row["difference_high"])
        width = ends[1] - ends[0]
        np.testing.assert_allclose(ends, expected.confidence_interval, atol=0.07 * width)
        test = stats.wilcoxon(ours, theirs, zero_method="pratt", method="approx")
        p_values.append(test.pvalue)
    corrected = [row["p"] for row in found.rows if row["p"] is not None]
    assert corrected == pytest.approx(holm(p_values))
    assert len(corrected) == 4 and corrected != p_values


def test_holm_is_that_of_statsmodels():
    assert holm(REFERENCE["holm"]["p"]) == pytest.approx(REFERENCE["holm"]["corrected"])
    assert holm([]) == []


def test_the_best_model_is_the_baseline_by_default():
    found = compare(MODELS, TEST, TRAIN, ks=(10,), metrics=("ndcg", "recall"))
    means = {name: one.ndcg[10] for name, one in found.evaluations.items()}
    assert found.baseline == max(means, key=means.get) == "kNN"


def test_equal_models_do_not_differ():
    found = compare({"a": MODELS["kNN"], "b": ItemKNN(TRAIN)}, TEST, TRAIN, ks=(5,))
    other = next(row for row in found.rows if row["model"] == "b")
    assert (other["difference"], other["p"]) == (0.0, 1.0)
    assert found.baseline == "a"


def test_false_alarms_are_as_rare_as_they_should_be():
    """Of two random orders neither is better: p below 0.2 in about a fifth of all trials."""
    small = 0
    for seed in range(100):
        random = {name: RandomItems(TRAIN, 2 * seed + at) for at, name in enumerate("ab")}
        found = compare(
            random, TEST, TRAIN, ks=(10,), metrics="recall", baseline="a", n_resamples=1
        )
        small += next(row["p"] for row in found.rows if row["model"] == "b") < 0.2
    assert 8 <= small <= 34  # 3 standard deviations


def test_metrics_of_all_users_are_not_tested():
    found = compare(MODELS, TEST, TRAIN, ks=(5,), metrics=("coverage", "auc"), baseline="popular")
    for row in found.rows:
        assert (row["p"] is None) == (row["metric"] == "coverage" or row["model"] == "popular")
        assert (row["low"] is None) == (row["metric"] == "coverage")
        assert (row["k"] is None) == (row["metric"] == "auc")
    only = compare(MODELS, TEST, TRAIN, ks=(5,), metrics="coverage", baseline="popular")
    assert "for 0 tests" in str(only)


def test_the_table():
    found = compare(MODELS, TEST, TRAIN, ks=(5,), baseline="popular")
    lines = str(found).splitlines()
    assert lines[0] == f"{len(found.evaluations['kNN'].users)} users"
    row = next(row for row in found.rows if row["model"] == "kNN")
    assert f"[{row['low']:.4f}, {row['high']:.4f}]" in lines[3]
    assert f"{row['difference']:+.4f}" in lines[3]
    assert [line.split()[0] for line in lines[2:5]] == ["recall@5", "kNN", "random"]
    assert lines[-1].startswith("Differences from 'popular'. p: Wilcoxon signed-rank tests, Holm")
    assert max(map(len, lines)) <= 100
    assert len(repr(found)) < 100


def test_cold_users_are_the_same_for_all_models():
    train = TRAIN.matrix.toarray()
    train[:20] = 0
    train = sp.csr_array(train)
    # A model that knows of other likes than the rest.
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((150, 3)), rng.standard_normal((60, 3))
    counts = {"user_counts": np.ones(150, int), "item_counts": np.ones(60, int)}
    models = {"kNN": ItemKNN(train), "model": Model(*vectors, **counts)}
    found = compare(models, TEST.matrix, train, ks=(5,))
    assert "users of test without likes in training: 20, included" in str(found)
    known = compare(models, TEST.matrix, train, ks=(5,), cold_users="exclude")
    for one in known.evaluations.values():
        assert one.users.min() == 20 and one.to_dict()["cold_users"] == 20


def test_bad_arguments():
    for arguments, error, message in (
        ({"models": {"kNN": MODELS["kNN"]}}, TypeError, "a dict of at least two models"),
        ({"models": list(MODELS.values())}, TypeError, "a dict of at least two models"),
        ({"baseline": "best"}, ValueError, "baseline must be one of .* got 'best'"),
        ({"confidence": 2}, ValueError, "confidence must be between"),
        ({"metrics": "f1"}, ValueError, "metrics must be among"),
        (
            {"models": {**MODELS, "other": ItemKNN(TRAIN.matrix)}},
            DataError,
            "the models must have the same user_ids",
        ),
        ({"models": {**MODELS, "none": None}}, TypeError, "must have a method recommend"),
    ):
        with pytest.raises(error, match=message):
            compare(**{"models": MODELS, "test": TEST, "exclude": TRAIN, **arguments})


def test_warnings_point_at_the_caller_and_come_once():
    zeros = TEST.matrix.copy()
    zeros.data[0] = 0
    with pytest.warns(UserWarning) as caught:
        compare({"a": MODELS["kNN"], "b": MODELS["random"]}, zeros, [TRAIN.matrix, TEST.matrix])
    assert [str(one.message).split()[0] for one in caught] == ["test:", str(zeros.nnz - 1)]
    assert {one.filename for one in caught} == {__file__}
