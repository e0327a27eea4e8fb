"""Baselines, and other recommenders that are no Model."""

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast import Model, baselines
from cml_fast.baselines import ItemKNN, MostPopular, RandomItems
from cml_fast.data import Interactions, split, synthetic
from cml_fast.errors import DataError
from cml_fast.evaluation import evaluate

TRAIN, TEST = split(synthetic(120, 60, 1800, random_state=1).interactions, (0.8, 0.2))
N_USERS, N_ITEMS = TRAIN.matrix.shape
KNOWN = TRAIN.matrix.toarray() > 0
COUNTS = KNOWN.sum(axis=0)
KINDS = [MostPopular, RandomItems, ItemKNN]


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_is_that_of_a_model(kind):
    baseline = kind(TRAIN)
    assert baseline.user_ids.tolist() == TRAIN.user_ids.tolist()
    assert baseline.item_counts.tolist() == COUNTS.tolist()
    assert baseline.user_counts.tolist() == KNOWN.sum(axis=1).tolist()
    rows, scores = baseline.recommend(range(N_USERS), 20, TRAIN)
    assert rows.shape == scores.shape == (N_USERS, 20)
    assert rows.dtype == np.int64 and scores.dtype == np.float32
    assert (np.diff(scores, axis=1) <= 0).all()
    for user, found in enumerate(rows):
        assert not KNOWN[user, found].any() and len(set(found.tolist())) == 20
    one, of_one = baseline.recommend(7, 20, TRAIN)
    assert one.tolist() == rows[7].tolist() and of_one.tolist() == scores[7].tolist()
    assert baseline.recommend([], 3, TRAIN)[0].shape == (0, 3)
    everything = sp.csr_array(np.ones(KNOWN.shape))
    rows, scores = baseline.recommend([0, 1], 3, everything)
    assert (rows == -1).all() and (scores == -np.inf).all()
    rows, _ = baseline.recommend([4], 100)
    assert (rows[0, :60] >= 0).sum() == 60 or kind is ItemKNN
    assert (rows[0, 60:] == -1).all()
    for arguments, error in (
        ({"n": 0}, ValueError),
        ({"users": [N_USERS]}, ValueError),
        ({"exclude": TRAIN.matrix[:3]}, DataError),
        ({"exclude": Interactions(TRAIN.matrix, TRAIN.user_ids[::-1], TRAIN.item_ids)}, DataError),
    ):
        with pytest.raises(error, match=next(iter(arguments))):
            baseline.recommend(**{"users": 0, "n": 3, **arguments})


@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments(kind):
    with pytest.raises(TypeError, match="train must be a scipy"):
        kind(KNOWN)
    zeros = sp.csr_array(KNOWN * 1.0)
    zeros.data[0] = 0
    with pytest.warns(UserWarning, match="train: 1 explicit zeros") as caught:
        kind(zeros)
    assert caught[0].filename == __file__
    assert f"{kind.__name__}(n_users={N_USERS}, n_items={N_ITEMS})" == repr(kind(TRAIN))


def test_most_popular_ranks_by_likes():
    rows, likes = MostPopular(TRAIN.matrix * 3).recommend([0, 5], N_ITEMS, TRAIN.matrix)
    for user, found in zip((0, 5), rows, strict=True):
        order = np.argsort(-COUNTS, kind="stable")
        assert found[found >= 0].tolist() == order[~KNOWN[user, order]].tolist()
    assert likes[0][rows[0] >= 0].tolist() == COUNTS[rows[0][rows[0] >= 0]].tolist()


def test_random_items_are_uniform_and_the_same_in_each_call():
    items = np.zeros(N_ITEMS)
    for seed in range(300):
        rows, _ = RandomItems(TRAIN, seed).recommend([3], 5, TRAIN)
        items[rows] += 1
    expected = 300 * 5 / (~KNOWN[3]).sum()
    assert items[KNOWN[3]].sum() == 0
    chi2 = ((items[~KNOWN[3]] - expected) ** 2 / expected).sum()
    assert chi2 < 100  # of about 45 degrees of freedom
    one = RandomItems(TRAIN, 1)
    every = one.recommend(range(N_USERS), 5)[0]
    assert one.recommend([9, 2], 5)[0].tolist() == every[[9, 2]].tolist()
    assert RandomItems(TRAIN, 2).recommend(range(N_USERS), 5)[0].tolist() != every.tolist()
    with pytest.raises(ValueError, match="random_state must be at least 0"):
        RandomItems(TRAIN, -1)


def test_recall_of_random_items_is_as_expected():
    n_candidates = (~KNOWN).sum(axis=1)
    found = [evaluate(RandomItems(TRAIN, seed), TEST, TRAIN, (10,)).recall for seed in range(40)]
    tested = np.diff(TEST.matrix.indptr) > 0
    expected = (10 / n_candidates[tested]).mean()
    assert np.mean([recall[10] for recall in found]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("n_neighbors", "block"), [(5, 1 << 24), (1000, 1 << 24), (5, 100)])
def test_item_knn_by_its_definition(n_neighbors, block, monkeypatch):
    monkeypatch.setattr(baselines, "BLOCK_SCORES", block)
    likes = KNOWN.astype(np.float64)
    cosines = likes.T @ likes / np.sqrt(np.outer(COUNTS, COUNTS))
    np.fill_diagonal(cosines, 0)
    # Equal cosines are decided by row number, and float32 may see others as equal.
    cosines = cosines.astype(np.float32).astype(np.float64)
    for row in cosines:
        row[np.argsort(-row, kind="stable")[n_neighbors:]] = 0
    expected = likes @ cosines.T
    expected[KNOWN | (expected == 0)] = -np.inf
    rows, scores = ItemKNN(TRAIN, n_neighbors).recommend(range(N_USERS), 10, TRAIN)
    found = np.where(rows < 0, -np.inf, np.take_along_axis(expected, rows, axis=1))
    np.testing.assert_allclose(scores, found, rtol=1e-4)
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :10], rtol=1e-4)


def test_item_knn_recommends_nothing_that_is_no_neighbor():
    train = sp.csr_array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert ItemKNN(train).recommend(range(3), 3)[0].tolist() == [[0, 1, -1], [2, 3, -1], [-1] * 3]
    with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
        ItemKNN(train, 0)


# --- evaluation of what is no Model ---------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_of_a_baseline(kind, monkeypatch):
    baseline = kind(TRAIN)
    result = evaluate(baseline, TEST, TRAIN, ks=(5,), metrics=("recall", "auc", "novelty"))
    rows, _ = baseline.recommend(result.users, 5, TRAIN)
    wanted = TEST.matrix.toarray()[result.users] > 0
    hits = np.where(rows >= 0, np.take_along_axis(wanted, rows, axis=1), 0).sum(axis=1)
    np.testing.assert_allclose(result.per_user["recall"][5], hits / wanted.sum(axis=1))
    assert (result.means("auc")[None] > 0.55) == (kind is not RandomItems)
    assert result.to_dict()["cold_users"] == 0
    with pytest.raises(ValueError, match="needs a model with item_vectors"):
        evaluate(baseline, TEST, TRAIN, metrics="diversity")
    with pytest.raises(DataError, match=r"test\.user_ids are not those of the model"):
        evaluate(baseline, Interactions(TEST.matrix, TEST.user_ids[::-1], TEST.item_ids))


class Fixed:
    """Recommends what it is given."""

    def __init__(self, found):
        self.found = found

    def recommend(self, users, n, exclude):
        assert exclude.shape == (2, 4)
        return self.found


def test_auc_of_rankings_that_end_early():
    """Items that are left out share the places after the ranking."""
    test = sp.csr_array([[1, 0, 0, 0], [0, 0, 1, 0]])
    ranked = np.array([[1, -1, -1, -1], [2, 1, -1, -1]])
    result = evaluate(Fixed((ranked, ranked)), test, ks=(4,), metrics="auc")
    # The relevant item is after one other, and with the other two at the same place.
    assert result.per_user["auc"][None].tolist() == [pytest.approx(1 / 3), 1.0]


def test_recommenders_that_break_the_contract():
    test = sp.csr_array([[1, 0, 0, 0], [0, 0, 1, 0]])
    exclude = sp.csr_array([[0, 0, 0, 1], [0, 0, 0, 0]])
    for found, message in (
        (np.zeros((2, 2), int), r"must return a tuple \(rows, scores\), got ndarray"),
        ((np.zeros((2, 3), int), None), r"integers of shape \(2, 2\), got int64 of shape \(2, 3\)"),
        ((np.zeros((2, 2)), None), "must return integers"),
        ((np.array([[0, 4], [0, 1]]), None), r"in \[0, 4\), or -1 .* got numbers from 0 to 4"),
        ((np.array([[0, -2], [0, 1]]), None), "got numbers from -2 to 1"),
        ((np.array([[0, 0], [0, 1]]), None), "distinct items"),
        ((np.array([[0, 3], [0, 1]]), None), "must leave out the items of exclude"),
    ):
        with pytest.raises(ValueError, match=rf"Fixed\.recommend {message}|{message}"):
            evaluate(Fixed(found), test, exclude, ks=(2,))
    fine = Fixed((np.array([[0, -1], [-1, -1]]), None))
    assert evaluate(fine, test, exclude, ks=(2,)).per_user["recall"][2].tolist() == [1.0, 0.0]
    with pytest.raises(TypeError, match="model must have a method recommend"):
        evaluate(np.zeros((2, 4)), test)


def test_ids_come_from_the_model_or_from_the_data():
    named = Interactions(sp.csr_array([[1, 0, 0, 0], [0, 0, 1, 0]]), np.array([7, 8]), np.arange(4))
    fine = Fixed((np.array([[0], [0]]), None))
    assert evaluate(fine, named, ks=(1,)).recall == {1: 0.5}
    assert evaluate(fine, named.matrix, train=named, ks=(1,)).recall == {1: 0.5}
    other = Interactions(named.matrix, np.array([7, 9]), named.item_ids)
    with pytest.raises(DataError, match=r"train\.user_ids"):
        evaluate(fine, named, train=other, ks=(1,))


def test_a_model_is_evaluated_by_what_it_recommends():
    """Users without likes get popular items, in an evaluation too."""
    model = Model([[0.0], [0.0]], [[1.0], [2.0], [3.0]], user_counts=[4, 0], item_counts=[1, 1, 2])
    test = sp.csr_array([[0, 0, 1], [0, 0, 1]])
    result = evaluate(model, test, ks=(1,), metrics=("recall", "auc"))
    assert result.per_user["recall"][1].tolist() == [0.0, 1.0]
    assert result.per_user["auc"][None].tolist() == [0.0, 1.0]
    assert result.cold.users.tolist() == [1]
