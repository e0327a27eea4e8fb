"""Recall and NDCG against a plain loop over sorted distances."""

import json
import math

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from cml_fast import metrics
from cml_fast.data.interactions import Interactions
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate
from cml_fast.model import Model


def plain(model, test, exclude, k):
    """Return {user: (recall, ndcg)} by the definitions, one user and one rank at a time."""
    distances = cdist(model.user_vectors, model.item_vectors)
    result = {}
    for user in range(len(distances)):
        wanted = set(np.flatnonzero(test[user]))
        if not wanted:
            continue
        ranked = [item for item in np.argsort(distances[user]) if not exclude[user, item]][:k]
        dcg = sum(1 / math.log2(at + 2) for at, item in enumerate(ranked) if item in wanted)
        best = sum(1 / math.log2(at + 2) for at in range(min(k, len(wanted))))
        result[user] = (len(wanted & set(ranked)) / len(wanted), dcg / best)
    return result


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    model = Model(rng.standard_normal((60, 4)), rng.standard_normal((90, 4)))
    role = rng.random((60, 90))
    train, valid, test = role < 0.1, (role > 0.1) & (role < 0.15), (role > 0.15) & (role < 0.2)
    test[[0, 17, 59]] = False
    return model, train, valid, test


@pytest.mark.parametrize("block", [1, 200, 1 << 22])
def test_equals_the_definitions(case, monkeypatch, block):
    monkeypatch.setattr(metrics.measuring, "BLOCK_ENTRIES", block)
    model, train, valid, test = case
    # Values other than 1 must not matter.
    matrices = [sp.csr_array(part * 2.5) for part in (train, valid, test)]
    result = evaluate(model, matrices[2], matrices[:2], ks=[50, 1, 5])
    assert list(result.recall) == [1, 5, 50]
    for k in (1, 5, 50):
        expected = plain(model, test, train | valid, k)
        assert result.users.tolist() == list(expected)
        recall, ndcg = np.array(list(expected.values())).T
        np.testing.assert_allclose(result.per_user["recall"][k], recall, rtol=1e-12)
        np.testing.assert_allclose(result.per_user["ndcg"][k], ndcg, rtol=1e-12)
        assert result.recall[k] == pytest.approx(recall.mean(), rel=1e-12)
        assert result.ndcg[k] == pytest.approx(ndcg.mean(), rel=1e-12)


def test_worked_by_hand():
    """Items at 1, 2, 3, 4 from the user; 2 and 4 are wanted, 1 is excluded."""
    model = Model([[0.0]], [[1.0], [2.0], [3.0], [4.0]])
    result = evaluate(
        model, sp.csr_array([[0, 1, 0, 1]]), sp.csr_array([[1, 0, 0, 0]]), ks=(1, 2, 3)
    )
    assert result.recall == {1: 0.5, 2: 0.5, 3: 1.0}
    best = 1 + 1 / math.log2(3)
    assert result.ndcg[1] == 1
    assert result.ndcg[2] == pytest.approx(1 / best)
    assert result.ndcg[3] == pytest.approx(1.5 / best)


def test_a_new_metric_needs_one_function_and_one_line(case, monkeypatch):
    def share_of_ranks(hits, n_relevant, k):
        return hits.sum(axis=1) / k

    monkeypatch.setitem(metrics.METRICS, "share", metrics.OfHits(share_of_ranks))
    model, train, _, test = case
    result = evaluate(
        model,
        sp.csr_array(test * 1.0),
        sp.csr_array(train * 1.0),
        ks=(5, 200),
        metrics=("recall", "ndcg", "share"),
    )
    wanted = test[result.users].sum(axis=1)
    np.testing.assert_allclose(
        result.per_user["share"][5], result.per_user["recall"][5] * wanted / 5
    )
    np.testing.assert_allclose(result.per_user["share"][200], wanted / 200)
    assert result.to_dict()["share@5"] == result.means("share")[5]
    assert str(result).splitlines()[1].split() == ["k", "recall@k", "ndcg@k", "share@k"]
    assert "share@200=0.0" in repr(result)


def test_more_than_all_items(case):
    model, train, _, test = case
    test = test & ~train
    result = evaluate(model, sp.csr_array(test * 1.0), sp.csr_array(train * 1.0), ks=(90, 10**9))
    np.testing.assert_array_equal(result.per_user["recall"][10**9], 1)
    np.testing.assert_array_equal(result.per_user["ndcg"][10**9], result.per_user["ndcg"][90])


def test_everything_else_excluded():
    model = Model([[0.0], [1.0]], [[1.0], [2.0], [3.0]])
    test = sp.csr_array([[0, 0, 1], [0, 0, 0]])
    result = evaluate(model, test, sp.csr_array([[1, 1, 0], [1, 1, 1]]), ks=(2,))
    assert result.per_user["recall"][2].tolist() == [1.0]
    assert result.per_user["ndcg"][2].tolist() == [1.0]


def test_excluded_test_items_warn_and_count_as_missed():
    model = Model([[0.0]], [[1.0], [2.0]])
    both = sp.csr_array([[1e-30, 0]])  # a weight whose square is 0 in float32
    with pytest.warns(UserWarning, match="1 test items are also excluded"):
        result = evaluate(model, both, both, ks=(2,))
    assert result.recall == {2: 0.0}


def test_warnings_point_at_the_caller(case):
    model, train, _, test = case
    matrices = [sp.csr_array(part * 1.0) for part in (test & ~train, train)]
    for matrix in matrices:
        matrix.data[0] = 0
    with pytest.warns(UserWarning) as caught:
        evaluate(model, matrices[0], [matrices[1], matrices[1]])
    assert [str(warning.message).split(":")[0] for warning in caught] == [
        "test",
        "exclude",
        "exclude",
    ]
    assert {warning.filename for warning in caught} == {__file__}


def test_interactions_and_report(case):
    model, train, _, test = case
    wrap = [
        Interactions(sp.csr_array(part * 1.0), model.user_ids, model.item_ids)
        for part in (train, test)
    ]
    result = evaluate(model, wrap[1], wrap[0])
    same = evaluate(model, wrap[1].matrix, [wrap[0].matrix])
    assert result.to_dict() == same.to_dict()
    assert json.loads(json.dumps(result.to_dict()))["recall@50"] == result.recall[50]
    assert result.to_dict()["users"] == len(result.users)
    assert list(result.to_dict()) == [
        *(f"recall@{k}" for k in (10, 50, 100)),
        *(f"ndcg@{k}" for k in (10, 50, 100)),
        "users",
        "cold_users",
        "cold_items",
    ]
    lines = str(result).splitlines()
    assert lines[0] == f"{len(result.users)} users"
    assert lines[1].split() == ["k", "recall@k", "ndcg@k"]
    assert lines[2].split() == ["10", f"{result.recall[10]:.4f}", f"{result.ndcg[10]:.4f}"]
    assert repr(result).startswith(f"Evaluation(users={len(result.users)}, recall@10=0.")
    assert len(repr(result)) < 200
    foreign = Interactions(wrap[1].matrix, model.user_ids, model.item_ids + 1)
    with pytest.raises(DataError, match=r"test\.item_ids"):
        evaluate(model, foreign)


def test_bad_arguments(case):
    model, train, _, test = case
    matrix = sp.csr_array(test * 1.0)
    for arguments, error, message in (
        ({"ks": ()}, ValueError, "at least one"),
        ({"ks": 10}, TypeError, "sequence of integers"),
        ({"ks": (0,)}, ValueError, "ks must be between 1 and 2147483647, got 0"),
        ({"ks": (1.5,)}, TypeError, "ks must be an integer"),
        ({"exclude": sp.csr_array(train[:5] * 1.0)}, DataError, "exclude must have shape"),
        ({"exclude": [train]}, TypeError, "exclude must be a scipy.sparse"),
        ({"test": sp.csr_array((60, 90))}, DataError, "no interactions"),
        ({"test": sp.csr_array((60, 91))}, DataError, "test must have shape"),
    ):
        with pytest.raises(error, match=message):
            evaluate(**{"model": model, "test": matrix, **arguments})
