"""Our class in the place of implicit's: its evaluation, and the same calls to both."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.evaluation import ranking_metrics_at_k, train_test_split

from cml_fast.integrations.implicit import CollaborativeMetricLearning


@pytest.fixture(scope="module")
def likes(ratings) -> sp.csr_matrix:
    liked = ratings[ratings.rating >= 4]
    users, items = liked.userId.astype("category"), liked.movieId.astype("category")
    return sp.csr_matrix(
        (np.ones(len(liked), dtype=np.float32), (users.cat.codes, items.cat.codes))
    )


@pytest.fixture(scope="module")
def models(likes):
    ours = CollaborativeMetricLearning(factors=32, iterations=15, random_state=0, temperature=0.3)
    theirs = AlternatingLeastSquares(factors=32, iterations=15, random_state=0)
    for model in (ours, theirs):
        model.fit(likes, show_progress=False)
    return ours, theirs


def test_the_evaluation_of_implicit_runs(likes):
    train, test = train_test_split(likes, 0.8, random_state=0)
    found = {}
    for model in (
        CollaborativeMetricLearning(factors=32, iterations=15, random_state=0, temperature=0.3),
        AlternatingLeastSquares(factors=32, iterations=15, random_state=0),
    ):
        model.fit(train, show_progress=False)
        found[type(model).__name__] = ranking_metrics_at_k(
            model, train, test, K=10, show_progress=False
        )["ndcg"]
    print(f"\nNDCG@10 in implicit: {found}")
    ours, theirs = found.values()
    assert ours > 0.7 * theirs


CALLS = {
    "one user": lambda m, x: m.recommend(3, x[3], N=5),
    "users": lambda m, x: m.recommend([3, 4], x[[3, 4]], N=5),
    "an array of int32": lambda m, x: m.recommend(np.array([3, 4], np.int32), x[[3, 4]]),
    "with liked items": lambda m, x: m.recommend(3, x[3], N=5, filter_already_liked_items=False),
    "without a matrix": lambda m, x: m.recommend(3, None, N=5, filter_already_liked_items=False),
    "filter_items": lambda m, x: m.recommend(3, x[3], N=5, filter_items=[1, 2]),
    "items": lambda m, x: m.recommend([3, 4], x[[3, 4]], N=5, items=np.arange(40)),
    "recalculate_user": lambda m, x: m.recommend([3, 4], x[[3, 4]], recalculate_user=True),
    "similar items": lambda m, x: m.similar_items([3, 4], N=5),
    "one item": lambda m, x: m.similar_items(3, N=5, filter_items=[1, 2]),
    "similar users": lambda m, x: m.similar_users([3, 4], N=5, users=[3, 4, 5, 6, 7]),
}


@pytest.mark.parametrize("call", CALLS)
def test_answers_have_the_same_form(call, likes, models):
    (ours, our_scores), (theirs, their_scores) = (CALLS[call](model, likes) for model in models)
    assert ours.shape == theirs.shape
    assert our_scores.shape == their_scores.shape
    assert our_scores.dtype == their_scores.dtype
    assert (np.diff(our_scores, axis=-1) <= 0).all()


WRONG = {
    "a user that is not there": lambda m, x: m.recommend(10**6, x[3]),
    "no row for each user": lambda m, x: m.recommend([3, 4], x),
    "no sparse matrix": lambda m, x: m.recommend(3, None),
    "both filters": lambda m, x: m.recommend(3, x[3], items=[1], filter_items=[2]),
    "an item that is not there": lambda m, x: m.recommend(3, x[3], items=[10**6]),
    "a filtered item that is not there": lambda m, x: m.recommend(3, x[3], filter_items=[10**6]),
    "similar to what is not there": lambda m, x: m.similar_items(10**6),
}


@pytest.mark.parametrize("call", WRONG)
def test_errors_are_of_the_same_kind(call, likes, models):
    ours, theirs = models
    with pytest.raises((IndexError, ValueError)) as error:
        WRONG[call](theirs, likes)
    with pytest.raises(error.type):
        WRONG[call](ours, likes)
