"""The metrics have the values of other packages, and say what they are of."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.metrics import ndcg_score, roc_auc_score

from cml_fast import Model, metrics
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate
from cml_fast.metrics import (
    METRICS,
    Evaluation,
    Known,
    beyond_accuracy,
    bootstrap,
    measure_rankings,
)
from cml_fast.metrics.segments import item_segments, user_segments

# Written by tests/metrics/make_reference.py, which says how.
REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text())
DATA = REFERENCE["data"]
N_USERS, N_ITEMS, KS = len(DATA["ranked"]), len(DATA["vectors"]), (1, 3, 5, 10)


def matrix(lists):
    rows = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
    columns = [item for items in lists for item in items]
    return sp.csr_array((np.ones(len(rows), np.float32), (rows, columns)), (len(lists), N_ITEMS))


RANKED = np.array([items + [-1] * (12 - len(items)) for items in DATA["ranked"]])
RELEVANT, TRAIN = matrix(DATA["relevant"]), matrix(DATA["train"])
COUNTS = np.bincount(TRAIN.indices, minlength=N_ITEMS)
OWN = np.array([COUNTS[items].mean() for items in DATA["train"]])
KNOWN = Known(COUNTS, N_USERS, OWN, np.array(DATA["vectors"]))


def measured(*names):
    return measure_rankings(lambda users, n: RANKED[users, :n], RELEVANT, KS, names, known=KNOWN)


@pytest.mark.parametrize(
    ("package", "metric"),
    [(name, metric) for name, values in REFERENCE["values"].items() for metric in values],
)
def test_values_of_other_packages(package, metric):
    found = measured(metric)
    for k, expected in REFERENCE["values"][package][metric].items():
        ours = found.overall if metric in found.overall else found.per_user
        np.testing.assert_allclose(ours[metric][int(k)], expected, rtol=1e-6, atol=1e-12)


def test_every_metric_is_compared_with_another_package():
    compared = {metric for values in REFERENCE["values"].values() for metric in values}
    assert METRICS.keys() - compared == {"auc", "popularity_lift"}  # compared below


def test_popularity_lift_by_its_definition():
    found = measured("popularity_lift").per_user["popularity_lift"]
    for user, (ranked, liked) in enumerate(zip(DATA["ranked"], DATA["train"], strict=True)):
        for k in KS:
            top = [COUNTS[item] for item in ranked[:k]]
            own = sum(COUNTS[item] for item in liked) / len(liked)
            assert found[k][user] == pytest.approx((sum(top) / len(top) - own) / own)


@pytest.fixture
def case():
    """A model, and disjoint likes of training and test."""
    rng = np.random.default_rng(3)
    model = Model(rng.standard_normal((50, 4)), rng.standard_normal((70, 4)))
    role = rng.random((50, 70))
    return model, role < 0.15, role > 0.85


def distances(model):
    return np.linalg.norm(
        model.user_vectors[:, None].astype(float) - model.item_vectors[None].astype(float), axis=2
    )


def test_auc_is_that_of_scikit_learn(case, monkeypatch):
    model, train, test = case
    expected = [
        roc_auc_score(wanted[~known], -far[~known])
        for wanted, known, far in zip(test, train, distances(model), strict=True)
    ]
    found = evaluate(model, sp.csr_array(test * 1.0), sp.csr_array(train * 1.0), metrics="auc")
    np.testing.assert_allclose(found.per_user["auc"][None], expected, rtol=1e-6)
    assert found.means("auc") == {None: pytest.approx(np.mean(expected))}
    assert found.to_dict()["auc"] == found.means("auc")[None]
    assert f"auc  {np.mean(expected):8.4f}" in str(found)

    class Ranker:
        """The same, by rankings of all items."""

        def recommend(self, users, n, exclude):
            return model.recommend(users, n, exclude)

    monkeypatch.setattr("cml_fast._evaluation.rankings.FULL_ENTRIES", 150)
    by_ranks = evaluate(
        Ranker(), sp.csr_array(test * 1.0), sp.csr_array(train * 1.0), metrics="auc"
    )
    np.testing.assert_allclose(by_ranks.per_user["auc"][None], expected, rtol=1e-6)


def test_auc_of_ties_excluded_items_and_nothing_else():
    model = Model([[0.0]] * 3, [[1.0], [2.0], [2.0], [-2.0], [3.0]])
    test = sp.csr_array([[0, 1, 0, 0, 1], [0, 1, 0, 0, 1], [1, 1, 0, 0, 0]])
    exclude = sp.csr_array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 1, 1]])
    with pytest.warns(UserWarning, match="1 test items are also excluded"):
        found = evaluate(model, test, exclude, metrics="auc").per_user["auc"][None]
    scores = np.array([-1.0, -2, -2, -2, -3])
    last = np.array([-1.0, -2, -2, -2, -np.finfo(float).max])
    assert found[0] == pytest.approx(roc_auc_score([0, 1, 0, 0, 1], scores))
    assert found[1] == pytest.approx(roc_auc_score([0, 1, 0, 0, 1], last))
    assert np.isnan(found[2])  # all that is ranked is relevant


def test_ndcg_is_that_of_scikit_learn(case):
    model, train, test = case
    far = np.where(train, 1e9, distances(model))
    found = evaluate(model, sp.csr_array(test * 1.0), sp.csr_array(train * 1.0), ks=(5, 20))
    for k in (5, 20):
        expected = ndcg_score(test.astype(float), -far, k=k)
        assert found.ndcg[k] == pytest.approx(expected, rel=1e-9)


def test_diversity_does_not_depend_on_blocks_or_on_where_the_space_begins(monkeypatch):
    vectors = np.array(DATA["vectors"], dtype=np.float32)
    expected = metrics.diversity(RANKED, vectors)
    for items, value in zip(DATA["ranked"], expected, strict=True):
        pairs = [math.dist(vectors[a], vectors[b]) for a, b in combinations(items, 2)]
        assert value == pytest.approx(np.mean(pairs), rel=1e-6)
    monkeypatch.setattr(beyond_accuracy, "BLOCK_NUMBERS", 1)
    np.testing.assert_array_equal(metrics.diversity(RANKED, vectors), expected)
    np.testing.assert_allclose(metrics.diversity(RANKED, vectors + 500.0), expected, rtol=1e-3)


def test_without_recommendations_a_metric_of_lists_is_not_defined():
    nothing = np.full((1, 3), -1)
    assert np.isnan(metrics.novelty(nothing, COUNTS, N_USERS)).all()
    assert np.isnan(metrics.popularity(nothing, COUNTS)).all()
    result = Evaluation(np.arange(3), {"novelty": {5: np.array([1.0, np.nan, 3.0])}})
    assert result.means("novelty") == {5: 2.0}
    low, high = result.intervals("novelty")[5]
    assert 1 <= low < 2 < high <= 3
    empty = Evaluation(np.arange(1), {"novelty": {5: np.array([np.nan])}})
    assert empty.to_dict() == {"novelty@5": None, "users": 1}
    assert np.isnan(empty.intervals("novelty")[5]).all()


# --- intervals ----------------------------------------------------------------------------------


def test_intervals_are_those_of_scipy(monkeypatch):
    values = np.random.default_rng(0).exponential(size=(300, 2))
    result = Evaluation(np.arange(300), {"recall": dict(zip((5, 9), values.T, strict=True))})
    found = result.intervals("recall", 0.9, n_resamples=9_999, random_state=1)
    for k, column in zip((5, 9), values.T, strict=True):
        expected = stats.bootstrap(
            (column,), np.mean, confidence_level=0.9, method="percentile", batch=1000
        ).confidence_interval
        width = expected.high - expected.low
        np.testing.assert_allclose(found[k], expected, atol=0.05 * width)
    assert found == result.intervals("recall", 0.9, 9_999, 1)
    assert found != result.intervals("recall", 0.9, 9_999, 2)
    monkeypatch.setattr(bootstrap, "BLOCK_DRAWS", 1)
    again = result.intervals("recall", 0.9, 9_999, 1)
    np.testing.assert_allclose(list(found.values()), list(again.values()), rtol=0.01)


def test_bad_arguments_of_intervals():
    result = Evaluation(np.arange(3), {"recall": {5: np.arange(3.0)}}, {"coverage": {5: 0.3}})
    for arguments, error, message in (
        ({"metric": "coverage"}, KeyError, "not measured for each user"),
        ({"metric": "ndcg"}, KeyError, "'ndcg' was not measured"),
        ({"confidence": 95}, ValueError, "confidence must be between 0.5 and 0.9999, got 95"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1"),
        ({"random_state": None}, TypeError, "random_state must be an integer"),
    ):
        with pytest.raises(error, match=message):
            result.intervals(**{"metric": "recall", **arguments})


# --- what is shown --------------------------------------------------------------------------------


def test_keys_without_the_at_sign(case):
    model, train, test = case
    result = evaluate(
        model, sp.csr_array(test * 1.0), sp.csr_array(train * 1.0), (5,), metrics=METRICS
    )
    keys = result.to_dict("_at_")
    assert {f"{name}_at_5" for name in METRICS if name != "auc"} | {"auc"} < keys.keys()
    assert list(keys.values()) == list(result.to_dict().values())
    assert not any("@" in key for key in keys)
    assert len(repr(result)) < 200 and repr(result).endswith(", 7 more)")
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    for line in str(result).splitlines():
        assert len(line) < 100
    for name in METRICS:
        assert name in str(result)


def test_the_metrics_that_are_asked_for(case):
    model, train, test = case
    test, train = sp.csr_array(test * 1.0), sp.csr_array(train * 1.0)
    result = evaluate(model, test, train, ks=(5,), metrics=("coverage", "mrr"))
    assert [*result.per_user, *result.overall] == ["mrr", "coverage"]
    recommended = model.recommend(result.users, 5, train)[0]
    assert result.overall["coverage"][5] == len(np.unique(recommended)) / 70
    assert list(evaluate(model, test, train).per_user) == ["recall", "ndcg"]
    for metrics_, error, message in (
        ("accuracy", ValueError, "metrics must be among"),
        ((), ValueError, "at least one name"),
        (3, TypeError, "metrics must be names"),
    ):
        with pytest.raises(error, match=message):
            evaluate(model, test, train, metrics=metrics_)


def test_what_metrics_need(case):
    model, train, test = case
    test = sp.csr_array(test * 1.0)
    for name in ("novelty", "popularity", "popularity_lift"):
        with pytest.raises(ValueError, match=f"{name}' needs the likes of training: give train="):
            evaluate(model, test, metrics=name)
        assert evaluate(model, test, train=sp.csr_array(train * 1.0), metrics=name).per_user
    with pytest.raises(ValueError, match="segments=True needs the likes of training"):
        evaluate(model, test, segments=True)
    counts = {"user_counts": train.sum(axis=1), "item_counts": train.sum(axis=0)}
    knowing = Model(model.user_vectors, model.item_vectors, **counts)
    assert evaluate(knowing, test, metrics="novelty").to_dict() == pytest.approx(
        evaluate(model, test, train=sp.csr_array(train * 1.0), metrics="novelty").to_dict()
    )


# --- segments -------------------------------------------------------------------------------------


def test_segments_by_their_definitions():
    users = user_segments(np.array([0, 5, 1, 2, 9, 0]))
    assert {name: np.flatnonzero(found).tolist() for name, found in users.items()} == {
        "users without likes": [0, 5],
        "users with few likes": [2, 3],
        "users with many likes": [1, 4],
    }
    items = item_segments(np.array([1, 6, 0, 3, 2]))  # 12 likes: the item with 6 has half of them
    assert {name: np.flatnonzero(found).tolist() for name, found in items.items()} == {
        "items without likes": [2],
        "rare items": [0, 3, 4],
        "popular items": [1],
    }


def test_segments_are_evaluations_of_their_own(case):
    model, train, test = case
    train[0] = False
    train[:, 0] = False
    train_matrix, test_matrix = (sp.csr_array(part * 1.0) for part in (train, test))
    asked = {"ks": (5, 20), "metrics": ("recall", "ndcg", "auc")}
    result = evaluate(model, test_matrix, train_matrix, **asked, segments=True)
    by_user, by_item = user_segments(train.sum(axis=1)), item_segments(train.sum(axis=0))
    assert list(result.segments) == [*by_user, *by_item]
    for name, members in {**by_user, **by_item}.items():
        wanted = test * (members[:, None] if name in by_user else members)
        expected = evaluate(model, sp.csr_array(wanted * 1.0), train_matrix, **asked)
        assert result.segments[name].users.tolist() == expected.users.tolist()
        for metric in asked["metrics"]:
            assert result.segments[name].means(metric) == pytest.approx(expected.means(metric))
        assert f"{name}: {len(expected.users)} users" in str(result)


def test_subset(case):
    model, _, test = case
    result = evaluate(model, sp.csr_array(test * 1.0), ks=(5,))
    part = result.subset(result.users < 10)
    assert part.users.tolist() == [user for user in result.users.tolist() if user < 10]
    assert part.recall[5] == result.per_user["recall"][5][result.users < 10].mean()
    for bad in (np.arange(len(result.users)), np.ones(3, dtype=bool)):
        with pytest.raises(TypeError, match="keep must be"):
            result.subset(bad)


# --- cold users and items -------------------------------------------------------------------------


def cold_case():
    """User 1 has no like in training, nor has item 3."""
    rng = np.random.default_rng(5)
    model = Model(rng.standard_normal((3, 2)), rng.standard_normal((4, 2)))
    train = sp.csr_array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])
    train = sp.csr_array(train + sp.csr_array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    test = sp.csr_array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
    return model, train, test


@pytest.mark.parametrize("how", ["train", "exclude", "counts"])
def test_cold_users_and_items_are_counted_apart(how):
    model, train, test = cold_case()
    arguments = {} if how == "counts" else {how: train}
    if how == "counts":
        counts = {"user_counts": [2, 0, 2], "item_counts": [2, 1, 1, 0]}
        model = Model(model.user_vectors, model.item_vectors, **counts)
    both = evaluate(model, test, ks=(2,), **arguments)
    assert both.to_dict()["cold_users"] == both.to_dict()["cold_items"] == 1
    assert both.cold.users.tolist() == [1] and both.cold.items.tolist() == [3]
    assert both.users.tolist() == [0, 1, 2]
    assert "users of test without likes in training: 1, included" in str(both)
    assert "cold users=1, cold items=1" in repr(both)
    known = evaluate(model, test, ks=(2,), **arguments, cold_users="exclude")
    assert known.users.tolist() == [0, 2]
    assert known.per_user["recall"][2].tolist() == both.per_user["recall"][2][[0, 2]].tolist()
    assert known.to_dict()["cold_users"] == 1
    assert "users of test without likes in training: 1, left out" in str(known)
    assert "cold users left out=1" in repr(known)
    items = evaluate(model, test, ks=(4,), **arguments, cold_items="exclude")
    warm = sp.csr_array(test.toarray() * [1, 1, 1, 0])
    expected = evaluate(model, warm, ks=(4,), **arguments)
    assert items.per_user["ndcg"][4].tolist() == expected.per_user["ndcg"][4].tolist()
    assert "items of test without likes in training: 1, left out" in str(items)


def test_which_likes_of_training_are_believed():
    model, train, test = cold_case()
    everybody = sp.csr_array(np.eye(3, 4))
    found = evaluate(model, test, exclude=sp.csr_array([[0] * 4] * 3), train=everybody)
    assert found.cold.users.tolist() == []
    assert evaluate(model, test, exclude=train, train=everybody).cold.users.tolist() == []
    counts = {"user_counts": [2, 0, 2], "item_counts": [2, 1, 1, 0]}
    knowing = Model(model.user_vectors, model.item_vectors, **counts)
    seen = sp.csr_array(([1.0], ([1], [3])), shape=(3, 4))
    assert evaluate(model, test, exclude=seen).cold.users.tolist() == [0, 2]
    assert evaluate(knowing, test, exclude=seen).cold.users.tolist() == [1]
    assert evaluate(knowing, test, train=everybody).cold.users.tolist() == []


def test_unknown_likes_are_no_cold_users():
    model, train, test = cold_case()
    result = evaluate(model, test)
    assert result.cold is None and "cold_users" not in result.to_dict()
    for what in ("cold_users", "cold_items"):
        with pytest.raises(ValueError, match=f"{what}='exclude' needs the likes of training"):
            evaluate(model, test, **{what: "exclude"})
        with pytest.raises(ValueError, match=f"{what} must be one of"):
            evaluate(model, test, **{what: "drop"})
    only = sp.csr_array(([1.0], ([1], [0])), shape=(3, 4))
    with pytest.raises(DataError, match="test has only users or items without likes"):
        evaluate(model, only, train=train, cold_users="exclude")


# --- progress -------------------------------------------------------------------------------------


def test_progress(case, monkeypatch, capsys):
    model, _, test = case
    test = sp.csr_array(test * 1.0)
    seen = []
    monkeypatch.setattr(metrics.measuring, "BLOCK_ENTRIES", 100)
    evaluate(model, test, ks=(5,), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 50), (40, 50), (50, 50)]
    evaluate(model, test, ks=(5,))
    assert capsys.readouterr().err == ""
    evaluate(model, test, ks=(5,), progress=True)
    assert "50/50" in capsys.readouterr().err
    with pytest.raises(TypeError, match="progress must be"):
        evaluate(model, test, progress="bar")
